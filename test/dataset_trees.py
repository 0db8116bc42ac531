# SPDX-License-Identifier: Apache-2.0
"""Tiny data sets in the official formats, one builder for each entry of DATASETS."""

import json

import cv2
import h5py
import numpy as np
from scipy.io import savemat

CALIBRATION = """calib_time: 09-Jan-2012 13:57:47
corner_dist: 9.950000e-02
S_02: 1.392000e+03 5.120000e+02
K_02: 9.597910e+02 0.000000e+00 6.960217e+02 0.000000e+00 9.569251e+02 2.241806e+02 0.000000e+00 0.000000e+00 1.0
S_rect_02: 8.000000e+00 4.000000e+00
P_rect_02: 7.0 0.0 3.5 44.8 0.0 7.5 1.5 0.2 0.0 0.0 1.0 0.003
S_rect_03: 8.000000e+00 4.000000e+00
P_rect_03: 6.0 0.0 3.0 -330.0 0.0 6.5 1.0 2.2 0.0 0.0 1.0 0.003
"""
DRIVE = '2011_09_26/2011_09_26_drive_0002_sync'


def write(path, pixels):
    """Write an image; colours are RGB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.asarray(pixels)
    assert cv2.imwrite(str(path), pixels[:, :, ::-1] if pixels.ndim == 3 else pixels)


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def folder(root):
    layout = {
        'rgb': 'rgb/{id}.png',
        'labels': 'labels/{id}.png',
        'label_space': 'kitti_6',
        'depth': 'depth/{id}.png',
        'depth_scale': 0.001,
        'fx': 5.0,
        'fy': 5.0,
        'cx': 2.5,
        'cy': 1.5,
        'width': 6,
        'height': 4,
    }
    (root / 'dataset.json').write_text(json.dumps(layout), encoding='utf-8')
    for index, name in enumerate(('0001', '0002')):
        write(root / 'rgb' / f'{name}.png', picture(4, 6, index))
        write(root / 'labels' / f'{name}.png', np.full((4, 6), 5, np.uint8))
        write(root / 'depth' / f'{name}.png', np.arange(24, dtype=np.uint16).reshape(4, 6))
    (root / 'train.txt').write_text('0001\n0002\n', encoding='utf-8')
    return 'train'


def nyuv2(root):
    """Three images of 4x3 pixels, 640x480's shape, stored as MATLAB 7.3 does: all dimensions reversed."""
    images = np.zeros((3, 3, 4, 3), np.uint8)  # N,3,W,H
    images[1, 0, 3, 2] = 200  # image 2, red, the last column of the last row
    labels = np.zeros((3, 4, 3), np.uint16)  # N,W,H
    labels[1, 3, 2] = 894
    labels[1, 0, 0] = 1
    labels[1, 1, 0] = 3
    raw = np.zeros((3, 4, 3), np.float32)
    raw[1, 3, 2] = 2.5
    with h5py.File(root / 'nyu_depth_v2_labeled.mat', 'w') as content:
        for name, values in {'images': images, 'labels': labels, 'rawDepths': raw, 'depths': raw + 1}.items():
            content[name] = values
    savemat(root / 'splits.mat', {'trainNdxs': np.array([[2], [3]], np.uint16), 'testNdxs': np.array([[1]], np.uint16)})
    classes = np.full((1, 894), 40, np.uint8)
    classes[0, 0], classes[0, 2], classes[0, 893] = 23, 1, 39  # books, wall, otherfurniture
    savemat(root / 'classMapping40.mat', {'mapClass': classes})
    return 'train'


def kitti(root):
    day, drive = DRIVE.split('/')
    for number in (3, 69):
        write(root / 'raw' / DRIVE / 'image_02' / 'data' / f'{number:010d}.png', picture(4, 8, number))
    write(root / 'raw' / DRIVE / 'image_03' / 'data' / '0000000069.png', picture(2, 4))
    (root / 'raw' / day / 'calib_cam_to_cam.txt').write_text(CALIBRATION, encoding='utf-8')
    depth = np.zeros((4, 8), np.uint16)
    depth[3, 7], depth[0, 1] = 256 * 10 + 128, 1
    write(root / 'depth' / 'val' / drive / 'proj_depth' / 'groundtruth' / 'image_02' / '0000000069.png', depth)
    (root / 'train.txt').write_text(f'{DRIVE}/image_02/data/0000000069.png\n{DRIVE} 3 l\n', encoding='utf-8')
    return 'train'


def kitti_semantics(root):
    for name in ('000000_10', '000001_10'):
        write(root / 'training' / 'image_2' / f'{name}.png', picture(2, 4))
        write(root / 'training' / 'semantic' / f'{name}.png', np.array([[23, 11, 7, 8], [22, 26, 0, 24]], np.uint8))
    return 'train'


def kitti_6(root):
    colors = [[(128, 128, 128), (128, 0, 0), (128, 64, 128)], [(64, 0, 128), (64, 64, 128), (0, 0, 0)]]
    for part in ('Training_00', 'Validation_07'):
        write(root / part / 'RGB' / '000000.png', picture(2, 3))
        write(root / part / 'GT' / '000000.png', np.array(colors, np.uint8))
    return 'test'


def camvid(root):
    colors = [[(64, 192, 0), (192, 0, 64), (192, 192, 0)], [(192, 128, 192), (0, 64, 64), (64, 192, 128)]]
    for name in ('0001TP_006690', 'Seq05VD_f00000'):
        write(root / '701_StillsRaw_full' / f'{name}.png', picture(2, 3))
        write(root / 'LabeledApproved_full' / f'{name}_L.png', np.array(colors, np.uint8))
    return 'all'


def camvid_segnet(root):
    write(root / 'val' / '0016E5_07959.png', picture(3, 4))
    write(root / 'valannot' / '0016E5_07959.png', np.arange(12, dtype=np.uint8).reshape(3, 4))
    return 'val'


def cityscapes(root):
    """Labels by official ids; disparities of 0 (unknown), 1 (infinitely far), then 10, 100, 1, 2 and 1.99 pixels."""
    camera = {'extrinsic': {'baseline': 0.2}, 'intrinsic': {'fx': 2000.0, 'fy': 1990.0, 'u0': 1.5, 'v0': 0.5}}
    for city, number in (('aachen', 19), ('ulm', 5)):
        name = f'{city}_000000_{number:06d}'
        write(root / 'leftImg8bit' / 'train' / city / f'{name}_leftImg8bit.png', picture(2, 4, number))
        ids = np.array([[7, 33, 23, 1], [24, 31, 9, 255]], np.uint8)
        write(root / 'gtFine' / 'train' / city / f'{name}_gtFine_labelIds.png', ids)
        raw = np.array([[0, 1, 2561, 25601], [257, 513, 510, 0]], np.uint16)
        write(root / 'disparity' / 'train' / city / f'{name}_disparity.png', raw)
        path = root / 'camera' / 'train' / city / f'{name}_camera.json'
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(camera), encoding='utf-8')
    return 'train'


SUNRGBD_FOLDERS = ('kv1/NYUdata/NYU0001', 'kv2/kinect2data/000002', 'xtion/sun3ddata/home/0003')


def sunrgbd(root):
    """Three images: NYU's and another one to train, one to test."""
    toolbox = root / 'SUNRGBDtoolbox'
    (toolbox / 'Metadata').mkdir(parents=True)
    (toolbox / 'traintestSUNRGBD').mkdir()
    official = '/n/fs/sun3d/data/SUNRGBD/'
    fields = [('rgbpath', object), ('rgbname', object), ('depthname', object)]
    records = np.zeros((1, 3), fields)
    labels = np.zeros((4, 2), np.uint8)  # W,H: MATLAB's dimensions reversed
    labels[3, 1], labels[0, 0] = 37, 1
    with h5py.File(toolbox / 'Metadata' / 'SUNRGBD2Dseg.mat', 'w') as content:
        references = content.create_dataset('SUNRGBD2Dseg/seglabel', (3, 1), h5py.ref_dtype)
        for row, folder_ in enumerate(SUNRGBD_FOLDERS):
            records[0, row] = (f'{official}{folder_}/image/a.jpg', 'a.jpg', 'b.png')
            content[f'#refs#/{row}'] = labels
            references[row, 0] = content[f'#refs#/{row}'].ref
            here = root / 'SUNRGBD' / folder_
            write(here / 'image' / 'a.jpg', picture(2, 4, row))
            millimeters = np.array([[0, 1000, 2001, 7999], [8001, 65535, 1, 0]], np.uint16)
            write(here / 'depth' / 'b.png', (millimeters << 3) | (millimeters >> 13))
            (here / 'intrinsics.txt').write_text('500 0 2.5 0 510 1.5 0 0 1 \n', encoding='utf-8')
    savemat(toolbox / 'Metadata' / 'SUNRGBDMeta.mat', {'SUNRGBDMeta': records})
    split = {
        'alltrain': np.array([[f'{official}{name}' for name in SUNRGBD_FOLDERS[:2]]], object),
        'alltest': np.array([[f'{official}{SUNRGBD_FOLDERS[2]}/']], object),
    }
    savemat(toolbox / 'traintestSUNRGBD' / 'allsplit.mat', split)
    return 'train'


BUILDERS = {
    'folder': folder,
    'nyuv2': nyuv2,
    'nyuv2_inpainted': nyuv2,
    'nyuv2_13': nyuv2,
    'kitti': kitti,
    'kitti_semantics': kitti_semantics,
    'kitti_6': kitti_6,
    'camvid': camvid,
    'camvid_segnet': camvid_segnet,
    'cityscapes': cityscapes,
    'cityscapes_7': cityscapes,
    'sunrgbd': sunrgbd,
    'sunrgbd_without_nyuv2': sunrgbd,
}
"""By data set, what writes it into an empty folder and returns a split that it has."""

# SPDX-License-Identifier: Apache-2.0
"""The generic folder data set."""

import json
import struct
import zlib

import cv2
import numpy as np
import pytest

from mtperception.data import DatasetError, open_dataset
from mtperception.types import Intrinsics

LAYOUT = {
    'rgb': 'rgb/{id}.png',
    'labels': 'labels/{id}.png',
    'label_space': 'kitti_6',
    'ignore_index': 250,
    'depth': 'depth/{id}.png',
    'depth_scale': 0.5,
    'depth_offset': 1.0,
    'depth_invalid': 7,
    'width': 6,
    'height': 4,
    'fx': 5.0,
    'fy': 5.5,
    'cx': 2.5,
    'cy': 1.5,
    'pose': 'pose/{id}.txt',
}


def small_png(numbers, bits, colours):
    """A PNG of grey (0), or of colours by number (3), with a palette of greys that begins with white."""

    def chunk(kind, content):
        return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))

    height, width = numbers.shape
    header = struct.pack('>IIBBBBB', width, height, bits, colours, 0, 0, 0)
    palette = b''.join(bytes([255 - number] * 3) for number in range(2**bits))
    planes = np.unpackbits(numbers[..., None], axis=-1)[..., -bits:].reshape(height, -1)
    rows = b''.join(b'\0' + np.packbits(row).tobytes() for row in planes)
    chunks = [(b'IHDR', header), (b'PLTE', palette), (b'IDAT', zlib.compress(rows)), (b'IEND', b'')]
    chunks = [each for each in chunks if each[0] != b'PLTE' or colours == 3]
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunk(*each) for each in chunks)


@pytest.fixture
def folder(tmp_path):
    """Two samples of 3x2 pixels; their camera is given for twice that size."""
    for name in ('rgb', 'labels', 'depth'):
        (tmp_path / name).mkdir()
    for name in ('a', 'b'):
        cv2.imwrite(str(tmp_path / 'rgb' / f'{name}.png'), np.full((2, 3, 3), (30, 20, 10), np.uint8))  # BGR
        cv2.imwrite(str(tmp_path / 'labels' / f'{name}.png'), np.array([[0, 5, 250], [1, 2, 3]], np.uint8))
        cv2.imwrite(str(tmp_path / 'depth' / f'{name}.png'), np.array([[0, 1, 7], [300, 2, 4]], np.uint16))
    (tmp_path / 'train.txt').write_text('b\n\na\n', encoding='utf-8')
    write(tmp_path, {})
    return tmp_path


def write(folder, changes):
    """`dataset.json` with some keys changed, and those that are to be `...` left out."""
    layout = {key: value for key, value in (LAYOUT | changes).items() if value is not ...}
    (folder / 'dataset.json').write_text(json.dumps(layout), encoding='utf-8')


def test_values_are_those_of_the_files(folder):
    dataset = open_dataset('folder', folder)
    assert (list(dataset.ids), len(dataset), dataset.label_space) == (['b', 'a'], 2, 'kitti_6')
    sample = dataset[0]
    assert sample.image[0, 0].tolist() == [10, 20, 30]
    assert sample.labels.tolist() == [[0, 5, 255], [1, 2, 3]]
    # raw x 0.5 + 1: 0 is 1 m, 300 is 151 m; 7 is missing
    assert sample.depth.tolist() == [[1.0, 1.5, 0.0], [151.0, 2.0, 3.0]]
    # half of the size: fx 5 / 2; the centre of the image (2.5 + 0.5) / 2 - 0.5 = 1, (1.5 + 0.5) / 2 - 0.5 = 0.5
    assert sample.intrinsics == Intrinsics(2.5, 2.75, 1.0, 0.5, 3, 2)


@pytest.mark.parametrize(
    ('bits', 'raw', 'scale', 'offset', 'metres'),
    [(8, 200, 2, 0, 400), (16, 40000, 2, 0, 80000), (8, 250, 1, 10, 260), (16, 500, 1, -1, 499), (8, 3, 1000, 0, 3000)],
)
def test_whole_numbers_do_not_overflow(folder, bits, raw, scale, offset, metres):
    """As JSON is written by many programs: 1 for 1.0."""
    write(folder, {'depth_scale': scale, 'depth_offset': offset})
    cv2.imwrite(str(folder / 'depth' / 'b.png'), np.full((2, 3), raw, np.uint8 if bits == 8 else np.uint16))
    assert (open_dataset('folder', folder, 'train')[0].depth == metres).all()


def test_what_has_no_key_is_not_annotated(folder):
    bare = dict.fromkeys(key for key in LAYOUT if key != 'rgb')
    write(folder, dict.fromkeys(bare, ...))
    dataset = open_dataset('folder', folder)
    sample = dataset[1]
    assert dataset.label_space == ''
    assert (sample.labels, sample.depth, sample.intrinsics) == (None, None, None)


def test_defaults_of_depth_and_labels(folder):
    write(folder, {'depth_offset': ..., 'depth_invalid': None, 'ignore_index': ...})
    cv2.imwrite(str(folder / 'labels' / 'a.png'), np.array([[0, 5, 255], [1, 2, 3]], np.uint8))
    sample = open_dataset('folder', folder)[1]
    assert sample.labels[0].tolist() == [0, 5, 255]
    assert sample.depth[0].tolist() == [0.0, 0.5, 3.5]


def test_depth_that_is_not_in_front_of_the_camera_is_invalid(folder):
    write(folder, {'depth_offset': -1.0})
    # raw x 0.5 - 1: -1, -0.5, missing; 149, 0, 1
    assert open_dataset('folder', folder)[0].depth.tolist() == [[0, 0, 0], [149, 0, 1]]


def test_patterns_may_lead_out_of_the_folder(folder, tmp_path):
    experts = tmp_path / 'experts'
    experts.mkdir()
    (experts / 'train.txt').write_text('a\n', encoding='utf-8')
    write(experts, {'rgb': '../rgb/{id}.png', 'labels': str(folder / 'labels' / '{id}.png'), 'depth': ...})
    sample = open_dataset('folder', experts)[0]
    assert sample.labels[0].tolist() == [0, 5, 255]


def test_a_split_may_be_the_path_of_a_list(folder, tmp_path):
    (tmp_path / 'mine.lst').write_text('a\n', encoding='utf-8')
    assert list(open_dataset('folder', folder, str(tmp_path / 'mine.lst')).ids) == ['a']


@pytest.mark.parametrize(
    ('changes', 'problem'),
    [
        ({'rgb': ...}, "no 'rgb'"),
        ({'label': 'x/{id}.png'}, "unknown key 'label': did you mean 'labels'"),
        ({'depth_ofset': 1}, "did you mean 'depth_offset'"),
        ({'rgb': 'rgb/a.png'}, r"'rgb' is 'rgb/a.png': expected a path with \{id\}"),
        ({'rgb': 3}, "'rgb' is 3: expected str"),
        ({'fx': '5'}, "'fx' is '5': expected int or float"),
        ({'fx': 0}, "'fx' is 0: expected more than 0"),
        ({'depth_scale': True}, "'depth_scale' is True"),
        ({'depth_scale': float('nan')}, "'depth_scale' is nan: expected a finite number"),
        ({'width': 6.5}, "'width' is 6.5: expected int"),
        ({'depth_scale': ...}, "no 'depth_scale'"),
        ({'label_space': ...}, "no 'label_space'"),
        ({'cy': ...}, "no 'cy'"),
        ({'label_space': 'kitti_7'}, 'label_space: no label space .kitti_7.: expected .*kitti_6'),
        ({'ignore_index': 0}, 'ignore_index 0 is the class sky of kitti_6'),
    ],
)
def test_a_wrong_description_says_what_is_wrong(folder, changes, problem):
    write(folder, changes)
    with pytest.raises(DatasetError, match=problem):
        open_dataset('folder', folder)


@pytest.mark.parametrize('content', ['[]', '{', '"rgb"'])
def test_a_description_that_is_no_object(folder, content):
    (folder / 'dataset.json').write_text(content, encoding='utf-8')
    with pytest.raises(DatasetError, match=r'dataset\.json: '):
        open_dataset('folder', folder)


def test_missing_folder_description_and_split(folder, tmp_path):
    with pytest.raises(DatasetError, match='no such folder'):
        open_dataset('folder', tmp_path / 'elsewhere')
    with pytest.raises(DatasetError, match=r"no split 'val'.*one of: train"):
        open_dataset('folder', folder, 'val')
    (folder / 'dataset.json').unlink()
    with pytest.raises(DatasetError, match=r'dataset\.json: no such file'):
        open_dataset('folder', folder)


@pytest.mark.parametrize(('ids', 'problem'), [('', 'empty'), ('a\nb\na\n', "lists 'a' more than once")])
def test_wrong_lists(folder, ids, problem):
    (folder / 'train.txt').write_text(ids, encoding='utf-8')
    with pytest.raises(DatasetError, match=problem):
        open_dataset('folder', folder)


def test_an_annotation_that_is_missing_for_one_id(folder):
    (folder / 'labels' / 'a.png').unlink()
    dataset = open_dataset('folder', folder)
    assert dataset[0].labels is not None
    with pytest.raises(DatasetError, match=r'labels/a\.png: no such file'):
        dataset[1]


@pytest.mark.parametrize(
    ('file', 'pixels', 'problem'),
    [
        ('labels/b.png', np.full((2, 3), 6, np.uint8), r'labels/b\.png: label 6: expected 0\.\.5, or 250'),
        ('labels/b.png', np.full((2, 3), 255, np.uint8), 'label 255'),
        ('labels/b.png', np.zeros((4, 6), np.uint8), 'sample b: the labels are 6x4: expected .* 3x2'),
        ('labels/b.png', np.zeros((2, 3, 3), np.uint8), 'found 3 channels: expected one'),
        ('depth/b.png', np.zeros((1, 3), np.uint16), 'the depth values are 3x1'),
    ],
)
def test_annotations_that_do_not_fit(folder, file, pixels, problem):
    cv2.imwrite(str(folder / file), pixels)
    with pytest.raises(DatasetError, match=problem):
        open_dataset('folder', folder)[0]


@pytest.mark.parametrize('colours', [0, 3])
@pytest.mark.parametrize('bits', [1, 2, 4, 8])
def test_labels_in_a_palette_or_in_few_bits_are_their_numbers(folder, bits, colours):
    """As tools for annotation write them, so that a viewer shows colours. The palette's colours mean nothing."""
    numbers = np.array([[0, 1, 1], [1, 0, 2**bits - 1]], np.uint8) % 6
    (folder / 'labels' / 'a.png').write_bytes(small_png(numbers, bits, colours))
    np.testing.assert_array_equal(open_dataset('folder', folder)[1].labels, numbers)


def test_a_camera_of_another_shape_is_not_stretched(folder, caplog):
    write(folder, {'fx': 5.25, 'width': 8, 'height': 8})
    dataset = open_dataset('folder', folder)
    assert [dataset[0].intrinsics, dataset[1].intrinsics] == [None, None]
    assert len([message for message in caplog.messages if 'sample b of 3x2: the camera is for 8x8' in message]) == 1


@pytest.mark.parametrize('file', ['rgb/b.png', 'depth/b.png'])
def test_files_that_are_no_images(folder, file):
    (folder / file).write_bytes(b'not an image')
    with pytest.raises(DatasetError, match=r'not an image|no image'):
        open_dataset('folder', folder)[0]


@pytest.mark.parametrize(
    ('name', 'count', 'space', 'shape', 'nearest', 'farthest'),
    [
        ('nyuv2', 795, 'nyuv2_40', (480, 640), 0.0392, 10.02),
        ('camvid', 367, 'kitti_6', (360, 480), None, None),
        ('kitti', 39, '', (375, 1242), 1.0, 256.0),
        ('sevenscenes_kitchen', 60, '', (480, 640), 0.001, 65.0),
    ],
)
def test_real_folders(pytestconfig, name, count, space, shape, nearest, farthest):
    folder = pytestconfig.rootpath.parent / 'shared' / 'data' / name
    if not folder.is_dir():
        pytest.skip(f'{folder} is not here')
    dataset = open_dataset('folder', folder)
    sample = dataset[count // 2]
    assert (len(dataset), dataset.label_space, sample.image.shape[:2]) == (count, space, shape)
    if nearest is not None:
        known = sample.depth[sample.valid_mask]
        assert nearest <= known.min() < known.max() <= farthest

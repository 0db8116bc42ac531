# SPDX-License-Identifier: Apache-2.0
"""KITTI: raw images with depth."""

import logging

import numpy as np
import pytest
from dataset_trees import DRIVE, write
from dataset_trees import kitti as build

from mtperception.data import DatasetError, open_dataset, remote_files
from mtperception.types import Intrinsics


@pytest.fixture
def root(tmp_path):
    build(tmp_path)
    return tmp_path


def test_depth_is_the_256th_part_and_0_is_missing(root):
    sample = open_dataset('kitti', root)[0]
    assert sample.depth[3, 7] == 10.5
    assert sample.depth[0, 1] == np.float32(1 / 256)
    assert sample.valid_mask.sum() == 2


def test_the_camera_is_that_of_the_day(root):
    assert open_dataset('kitti', root)[0].intrinsics == Intrinsics(7.0, 7.5, 3.5, 1.5, 8, 4)


def test_the_right_camera_and_images_of_half_the_size(root):
    (root / 'mine.txt').write_text(f'{DRIVE} 69 l\n{DRIVE} 69 r\n', encoding='utf-8')
    sample = open_dataset('kitti', root, 'mine')[1]
    # half of fx 6, fy 6.5; centre (3 + 0.5) / 2 - 0.5 = 1.25, (1 + 0.5) / 2 - 0.5 = 0.25
    assert sample.intrinsics == Intrinsics(3.0, 3.25, 1.25, 0.25, 4, 2)
    assert sample.depth is None


@pytest.mark.parametrize(
    'line',
    [
        f'{DRIVE}/image_02/data/0000000069.png',
        f'{DRIVE}/image_02/data/0000000069.jpg',
        f'{DRIVE}/image_02/data/0000000069.png 2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_02/x.png 721.5',
        f'{DRIVE} 0000000069 l',
        f'{DRIVE} 69 l',
        f'{DRIVE}/image_02/0000000069',
    ],
)
def test_lines_of_the_lists_that_are_around(root, line):
    (root / 'eigen.txt').write_text(f'{line}\n', encoding='utf-8')
    dataset = open_dataset('kitti', root, 'eigen')
    assert list(dataset.ids) == [f'{DRIVE}/image_02/0000000069']
    assert dataset[0].depth is not None


@pytest.mark.parametrize('line', ['0000000069', f'{DRIVE}', f'{DRIVE}/image_00/data/69.png', f'{DRIVE} 69 x'])
def test_lines_of_other_lists(root, line):
    (root / 'eigen.txt').write_text(f'{line}\n', encoding='utf-8')
    with pytest.raises(DatasetError, match='is not an image of KITTI'):
        open_dataset('kitti', root, 'eigen')


def test_images_without_depth_are_counted_but_a_list_of_them_is_an_error(root, caplog):
    with caplog.at_level(logging.WARNING):
        dataset = open_dataset('kitti', root)
    assert "1 of the 2 images of split 'train' have no depth" in caplog.text
    assert dataset[1].depth is None
    (root / 'mine.txt').write_text(f'{DRIVE} 3 l\n', encoding='utf-8')
    with pytest.raises(DatasetError, match='no depth for any image'):
        open_dataset('kitti', root, 'mine')


def test_files_that_are_not_what_they_should_be(root):
    depth = root / 'depth' / 'val' / DRIVE.split('/')[1] / 'proj_depth/groundtruth/image_02/0000000069.png'
    dataset = open_dataset('kitti', root)
    write(depth, np.zeros((4, 8), np.uint8))
    with pytest.raises(DatasetError, match='values of uint8: expected 16 bits'):
        dataset[0]
    write(depth, np.zeros((4, 4), np.uint16))
    with pytest.raises(DatasetError, match='the depth values are 4x4'):
        dataset[0]


@pytest.mark.parametrize('content', ['S_rect_02: 8 4\n', 'S_rect_02: 8 4\nP_rect_02: 1 2 3\n', 'P_rect_02: a\n'])
def test_a_calibration_that_is_not_complete(root, content):
    (root / 'raw' / '2011_09_26' / 'calib_cam_to_cam.txt').write_text(content, encoding='utf-8')
    with pytest.raises(DatasetError, match='expected S_rect_02'):
        open_dataset('kitti', root)[0]


def test_only_the_drives_of_the_list_are_fetched(tmp_path):
    (tmp_path / 'test.txt').write_text(f'{DRIVE} 69 l\n{DRIVE} 70 l\n', encoding='utf-8')
    host = 'https://s3.eu-central-1.amazonaws.com/avg-kitti'
    assert [file.url for file in remote_files('kitti', tmp_path, 'test')] == [
        f'{host}/data_depth_annotated.zip',
        f'{host}/raw_data/2011_09_26_calib.zip',
        f'{host}/raw_data/2011_09_26_drive_0002/2011_09_26_drive_0002_sync.zip',
    ]

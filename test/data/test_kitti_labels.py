# SPDX-License-Identifier: Apache-2.0
"""KITTI's labelled images as KITTI-6."""

import numpy as np
import pytest
from dataset_trees import kitti_6, kitti_semantics, write

from mtperception.data import DatasetError, open_dataset
from mtperception.data.cityscapes import TRAIN_IDS
from mtperception.labels import load_label_space

SKY, BUILDING, ROAD, SIDEWALK, VEGETATION, CAR, NONE = 0, 1, 2, 3, 4, 5, 255


def test_ids_of_cityscapes_become_six_classes(tmp_path):
    kitti_semantics(tmp_path)
    dataset = open_dataset('kitti_semantics', tmp_path)
    assert list(dataset.ids) == ['000000_10', '000001_10']
    # the tree's ids: sky building road sidewalk, then terrain car unlabelled person
    assert dataset[0].labels.tolist() == [[SKY, BUILDING, ROAD, SIDEWALK], [VEGETATION, CAR, NONE, NONE]]


def test_every_id_of_cityscapes(tmp_path):
    """All 256 values in one image: seven ids are of classes of KITTI-6 beside truck and bus; the others are ignored."""
    kitti_semantics(tmp_path)
    write(tmp_path / 'training' / 'image_2' / '000000_10.png', np.zeros((16, 16, 3), np.uint8))
    write(tmp_path / 'training' / 'semantic' / '000000_10.png', np.arange(256, dtype=np.uint8).reshape(16, 16))
    labels = open_dataset('kitti_semantics', tmp_path)[0].labels.ravel()
    named = {7: ROAD, 8: SIDEWALK, 11: BUILDING, 21: VEGETATION, 22: VEGETATION, 23: SKY, 26: CAR, 27: CAR, 28: CAR}
    assert {index: label for index, label in enumerate(labels) if label != NONE} == named


def test_there_are_as_many_ids_as_train_ids():
    assert len(TRAIN_IDS) == len(load_label_space('cityscapes_19')) == 19


def test_a_list_of_the_semantics_set(tmp_path):
    kitti_semantics(tmp_path)
    (tmp_path / 'val.txt').write_text('000001_10\n', encoding='utf-8')
    assert list(open_dataset('kitti_semantics', tmp_path, 'val').ids) == ['000001_10']


def test_colors_of_ros_become_six_classes(tmp_path):
    kitti_6(tmp_path)
    sample = open_dataset('kitti_6', tmp_path, 'train')[0]
    assert sample.labels.tolist() == [[SKY, BUILDING, ROAD], [CAR, NONE, NONE]]


def test_stray_colors_are_ignored_but_not_many(tmp_path):
    """One of 200 pixels is in a colour of no class, then three."""
    kitti_6(tmp_path)
    write(tmp_path / 'Training_00' / 'RGB' / '000000.png', np.zeros((10, 20, 3), np.uint8))
    colors = np.full((10, 20, 3), (0, 0, 192), np.uint8)
    colors[0, 0] = 1, 2, 3
    path = tmp_path / 'Training_00' / 'GT' / '000000.png'
    write(path, colors)
    dataset = open_dataset('kitti_6', tmp_path, 'train')
    labels = dataset[0].labels
    assert labels[0, 0] == NONE
    assert (labels == SIDEWALK).sum() == 199
    colors[0, :3] = 1, 2, 3
    write(path, colors)
    with pytest.raises(DatasetError, match=r'colour \(1, 2, 3\) belongs to no class'):
        dataset[0]


def test_labels_of_another_size_and_labels_that_are_missing(tmp_path):
    kitti_semantics(tmp_path)
    dataset = open_dataset('kitti_semantics', tmp_path)
    write(tmp_path / 'training' / 'semantic' / '000000_10.png', np.zeros((2, 3), np.uint8))
    with pytest.raises(DatasetError, match=r'the labels are 3x2: expected .* 4x2'):
        dataset[0]
    (tmp_path / 'training' / 'semantic' / '000001_10.png').unlink()
    with pytest.raises(DatasetError, match=r'000001_10\.png: no such file'):
        dataset[1]

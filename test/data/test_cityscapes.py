# SPDX-License-Identifier: Apache-2.0
"""Cityscapes by its official files."""

import json

import numpy as np
import pytest
from dataset_trees import cityscapes

from mtperception.data import DatasetError, open_dataset


def test_official_ids_become_classes(tmp_path):
    cityscapes(tmp_path)
    dataset = open_dataset('cityscapes', tmp_path, 'train')
    assert list(dataset.ids) == ['aachen_000000_000019', 'ulm_000000_000005']
    # road bicycle sky (rectification border) / person train (parking) (none)
    assert dataset[0].labels.tolist() == [[0, 18, 10, 255], [11, 16, 255, 255]]


def test_categories(tmp_path):
    cityscapes(tmp_path)
    labels = open_dataset('cityscapes_7', tmp_path, 'train')[0].labels
    # flat vehicle sky - / human vehicle - -
    assert labels.tolist() == [[0, 6, 4, 255], [5, 6, 255, 255]]


def test_disparity_becomes_meters(tmp_path):
    cityscapes(tmp_path)
    sample = open_dataset('cityscapes', tmp_path, 'train')[0]
    # 0.2 m x 2000 px = 400; disparities unknown, 0, 10 and 100 / 1 (too far), 2 and 1.99 pixels
    np.testing.assert_allclose(sample.depth, [[0, 0, 40, 4], [0, 200, 0, 0]])
    # The camera is that of images of 2048x1024; these have 4x2.
    camera = sample.intrinsics
    assert (camera.fx, camera.fy, camera.cx) == (2000 * 4 / 2048, 1990 * 2 / 1024, (1.5 + 0.5) * 4 / 2048 - 0.5)


def test_without_disparity_there_is_no_depth(tmp_path):
    cityscapes(tmp_path)
    (tmp_path / 'disparity/train/ulm/ulm_000000_000005_disparity.png').unlink()
    sample = open_dataset('cityscapes', tmp_path, 'train')[1]
    assert sample.depth is None
    assert sample.labels is not None


def test_a_disparity_without_its_camera_is_an_error(tmp_path):
    cityscapes(tmp_path)
    (tmp_path / 'camera/train/ulm/ulm_000000_000005_camera.json').unlink()
    dataset = open_dataset('cityscapes', tmp_path, 'train')
    with pytest.raises(DatasetError, match=r'ulm_000000_000005_camera.json: missing: .*camera_trainvaltest.zip'):
        dataset[1]
    (tmp_path / 'disparity/train/ulm/ulm_000000_000005_disparity.png').unlink()
    assert (dataset[1].depth, dataset[1].intrinsics) == (None, None)


@pytest.mark.parametrize('content', ['', '[]', json.dumps({'intrinsic': {'fx': 1}})])
def test_a_camera_that_is_none_is_named(tmp_path, content):
    cityscapes(tmp_path)
    path = tmp_path / 'camera/train/ulm/ulm_000000_000005_camera.json'
    path.write_text(content, encoding='utf-8')
    with pytest.raises(DatasetError, match=r'ulm_000000_000005_camera.json: not a Cityscapes camera file'):
        open_dataset('cityscapes', tmp_path, 'train')[1]


def test_a_missing_split_says_what_to_download(tmp_path):
    cityscapes(tmp_path)
    with pytest.raises(DatasetError, match=r'no images in leftImg8bit/val: .*gtFine_trainvaltest.zip'):
        open_dataset('cityscapes', tmp_path, 'val')

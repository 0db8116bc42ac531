# SPDX-License-Identifier: Apache-2.0
"""SUN RGB-D by its official files."""

import numpy as np
import pytest
from dataset_trees import sunrgbd

from mtperception.data import DatasetError, open_dataset


@pytest.fixture
def root(tmp_path):
    sunrgbd(tmp_path)
    return tmp_path


def test_the_official_split(root):
    assert list(open_dataset('sunrgbd', root, 'train').ids) == ['kv1-NYUdata-NYU0001', 'kv2-kinect2data-000002']
    assert list(open_dataset('sunrgbd', root, 'test').ids) == ['xtion-sun3ddata-home-0003']


def test_the_images_of_nyuv2_can_be_left_out(root):
    assert list(open_dataset('sunrgbd_without_nyuv2', root, 'train').ids) == ['kv2-kinect2data-000002']


def test_official_ids_become_classes(root):
    """1 is a wall, 37 a bag; 0 is unlabelled."""
    labels = open_dataset('sunrgbd', root, 'train')[0].labels
    assert labels.tolist() == [[0, 255, 255, 255], [255, 255, 255, 36]]


def test_rotated_bits_become_meters(root):
    """Farther than 8 m is invalid."""
    depth = open_dataset('sunrgbd', root, 'train')[0].depth
    np.testing.assert_allclose(depth, [[0, 1, 2.001, 7.999], [0, 0, 0.001, 0]])


def test_each_image_has_its_camera(root):
    (root / 'SUNRGBD/kv2/kinect2data/000002/intrinsics.txt').write_text('600 0 3\n0 610 2\n0 0 1\n', encoding='utf-8')
    first, second = (open_dataset('sunrgbd', root, 'train')[index].intrinsics for index in range(2))
    assert (first.fx, first.fy, first.cx, first.cy) == (500.0, 510.0, 2.5, 1.5)
    assert (second.fx, second.fy, second.cx, second.cy) == (600.0, 610.0, 3.0, 2.0)


@pytest.mark.parametrize(
    ('path', 'content'),
    [
        ('SUNRGBDtoolbox/Metadata/SUNRGBDMeta.mat', b''),
        ('SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat', b'<html>moved</html>'),
        ('SUNRGBDtoolbox/Metadata/SUNRGBD2Dseg.mat', b'version https://git-lfs.github.com/spec/v1\n'),
        ('SUNRGBD/kv1/NYUdata/NYU0001/intrinsics.txt', b'500 0'),
    ],
)
def test_files_that_are_none_are_named(root, path, content):
    (root / path).write_bytes(content)
    with pytest.raises(DatasetError, match=path.rpartition('/')[2]):
        open_dataset('sunrgbd', root, 'train')[0]


def test_another_split_lists_the_known(root):
    with pytest.raises(DatasetError, match="no split 'val': expected train or test"):
        open_dataset('sunrgbd', root, 'val')

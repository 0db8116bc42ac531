# SPDX-License-Identifier: Apache-2.0
"""NYU Depth v2 from its official files."""

import h5py
import numpy as np
import pytest
from dataset_trees import nyuv2 as build
from scipy.io import savemat

from mtperception.data import DatasetError, open_dataset


@pytest.fixture
def root(tmp_path):
    build(tmp_path)
    return tmp_path


def test_matlab_dimensions_are_turned_round(root):
    """MATLAB's H,W,3,N is N,3,W,H in HDF5: 4x3 pixels, the marked one in the last column of the last row."""
    sample = open_dataset('nyuv2', root)[0]
    assert sample.image.shape == (3, 4, 3)
    assert sample.image[2, 3].tolist() == [200, 0, 0]
    assert sample.image.sum() == 200
    assert sample.depth[2, 3] == 2.5


def test_classes_go_from_894_to_40_to_13(root):
    """894 is otherfurniture (38 from 0), 1 is books (22), 3 is wall (0); 0 is unlabelled."""
    sample = open_dataset('nyuv2', root)[0]
    assert (sample.labels[2, 3], sample.labels[0, 0], sample.labels[0, 1]) == (38, 22, 0)
    assert (sample.labels == 255).sum() == 12 - 3
    # of the 13 (bed books ceiling chair floor furniture ... wall window): furniture 5, books 1, wall 11
    coarse = open_dataset('nyuv2_13', root)
    labels = coarse[0].labels
    assert coarse.label_space == 'nyuv2_13'
    assert (labels[2, 3], labels[0, 0], labels[0, 1], labels[1, 1]) == (5, 1, 11, 255)


def test_measured_depth_has_holes_and_inpainted_has_none(root):
    measured, inpainted = open_dataset('nyuv2', root)[0], open_dataset('nyuv2_inpainted', root)[0]
    assert measured.valid_mask.sum() == 1
    assert inpainted.valid_mask.all()
    assert inpainted.depth[2, 3] == 3.5


def test_splits_count_from_one(root):
    assert list(open_dataset('nyuv2', root, 'train').ids) == ['000002', '000003']
    assert list(open_dataset('nyuv2', root, 'test').ids) == ['000001']
    assert open_dataset('nyuv2', root, 'test')[0].image.sum() == 0
    (root / 'mine.txt').write_text('000003\n2\n', encoding='utf-8')
    assert list(open_dataset('nyuv2', root, 'mine').ids) == ['000003', '000002']


def test_the_camera_is_that_of_the_toolbox_scaled_to_the_image(root):
    camera = open_dataset('nyuv2', root)[0].intrinsics
    # 4 of 640 and 3 of 480 columns: 1/160; the centre (325.582449 + 0.5) / 160 - 0.5 = 1.538015
    assert camera.fx == pytest.approx(518.857901 / 160)
    assert camera.cx == pytest.approx(1.538015, abs=1e-6)


@pytest.mark.parametrize('numbers', ['4\n', '0\n', '2\nkitchen\n'])
def test_numbers_that_the_file_does_not_hold(root, numbers):
    (root / 'mine.txt').write_text(numbers, encoding='utf-8')
    with pytest.raises(DatasetError, match=r"split 'mine'.*expected"):
        open_dataset('nyuv2', root, 'mine')


@pytest.mark.parametrize('name', ['nyu_depth_v2_labeled.mat', 'splits.mat', 'classMapping40.mat'])
def test_each_file_is_needed_and_checked(root, name):
    content = (root / name).read_bytes()
    (root / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(DatasetError, match=f'{name}: not a'):
        open_dataset('nyuv2', root)
    (root / name).unlink()
    with pytest.raises(DatasetError, match=f'{name}: no such file.*mtperception download nyuv2'):
        open_dataset('nyuv2', root)


def test_variables_that_are_missing(root):
    savemat(root / 'splits.mat', {'other': np.zeros(1)})
    with pytest.raises(DatasetError, match='has no variable trainNdxs'):
        open_dataset('nyuv2', root)
    build(root)
    with h5py.File(root / 'nyu_depth_v2_labeled.mat', 'a') as content:
        del content['rawDepths']
    with pytest.raises(DatasetError, match='has no variable rawDepths'):
        open_dataset('nyuv2', root)[0]


def test_a_mapping_of_another_kind(root):
    savemat(root / 'classMapping40.mat', {'mapClass': np.full((1, 894), 41)})
    with pytest.raises(DatasetError, match=r'expected the class 1\.\.40'):
        open_dataset('nyuv2', root)
    savemat(root / 'classMapping40.mat', {'mapClass': np.full((1, 13), 1)})
    with pytest.raises(DatasetError, match=r'class 894: .* knows 1\.\.13'):
        open_dataset('nyuv2', root)[0]


@pytest.mark.parametrize('name', ['classMapping40.mat', 'splits.mat', 'nyu_depth_v2_labeled.mat'])
@pytest.mark.parametrize(
    'content',
    [
        b'',
        b'<html>moved</html>',
        b'<html>' + b'moved ' * 1000,
        b'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n',
        bytes(200),
        b'MATLAB 5.0 MAT-file' + bytes(105) + b'\0\1IM' + b'\x0f\0\0\0\xff\0\0\0junk',
    ],
    ids=['empty', 'page', 'long page', 'pointer', 'zeros', 'cut off'],
)
def test_what_is_no_matlab_file_is_said(root, name, content):
    """As wget leaves it of a page that has moved, and Git of a file that it did not fetch."""
    (root / name).write_bytes(content)
    with pytest.raises(DatasetError, match=f'{name}: .*mtperception download nyuv2'):
        open_dataset('nyuv2', root)


def test_a_matlab_file_that_is_cut_off_anywhere_is_said(root):
    whole = (root / 'classMapping40.mat').read_bytes()
    for size in range(0, len(whole), 7):
        (root / 'classMapping40.mat').write_bytes(whole[:size])
        with pytest.raises(DatasetError, match=r'classMapping40\.mat: '):
            open_dataset('nyuv2', root)

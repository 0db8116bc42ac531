# SPDX-License-Identifier: Apache-2.0
"""NYU Depth v2, the labelled set: 1449 indoor images with depth and labels (Silberman et al., ECCV 2012).

The files are the official `nyu_depth_v2_labeled.mat` and `splits.mat`, and `classMapping40.mat`, the mapping of the 894
classes to 40 by Gupta et al. (CVPR 2013). Images are read as they are, the white border of the Kinect's undistortion
included. Depth is registered to the image, in metres:

- `nyuv2` has the measured depth (`rawDepths`, 0 where the Kinect saw nothing), and so what is measured there is real;
- `nyuv2_inpainted` has the depth with its holes filled in by colourisation (`depths`), as many train on it;
- `nyuv2_13` has the measured depth, and the 13 classes of Couprie et al. (ICLR 2013).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mtperception.data.dataset import DatasetError
from mtperception.data.files import check_folder, fit_camera, read_ids
from mtperception.data.matlab import HDF5_FAULTS, load_matlab, open_hdf5
from mtperception.download import RemoteFile
from mtperception.geometry import is_valid
from mtperception.labels import IGNORE_INDEX, load_label_space
from mtperception.types import Intrinsics, Sample

if TYPE_CHECKING:
    import h5py

IMAGES = 'nyu_depth_v2_labeled.mat'
SPLITS = 'splits.mat'
CLASSES = 'classMapping40.mat'
INDICES = {'train': 'trainNdxs', 'test': 'testNdxs'}
"""By split, the variable of `splits.mat` with its 1-based numbers."""
CAMERA = Intrinsics(fx=518.857901, fy=519.469611, cx=325.582449, cy=253.736166, width=640, height=480)
"""The colour camera, by the official toolbox (camera_params.m)."""
EXPECTED = (
    f'expected {IMAGES} and {SPLITS} of cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html and {CLASSES} of '
    'github.com/ankurhanda/nyuv2-meta-data; to get them: mtperception download nyuv2 --root FOLDER'
)
FILES = (
    RemoteFile(
        f'http://horatio.cs.nyu.edu/mit/silberman/nyu_depth_v2/{IMAGES}',
        size=2_972_037_809,
        md5='520609c519fba3ba5ac58c8fefcc3530',
    ),
    RemoteFile(
        f'http://horatio.cs.nyu.edu/mit/silberman/indoor_seg_sup/{SPLITS}',
        size=2626,
        md5='08e3c3aea27130ac7c01ffd739a4535f',
    ),
    RemoteFile(
        f'https://raw.githubusercontent.com/ankurhanda/nyuv2-meta-data/master/{CLASSES}',
        size=10474,
        md5='e377c88729dd63af81205ac9a8634a19',
    ),
)


def nyuv2(root: Path, split: str) -> 'Nyuv2':
    """40 classes, measured depth. Splits: `train` (795), `test` (654), or a list of 1-based numbers."""
    return Nyuv2(root, split, 'nyuv2_40', 'rawDepths')


def nyuv2_inpainted(root: Path, split: str) -> 'Nyuv2':
    """40 classes, depth without holes."""
    return Nyuv2(root, split, 'nyuv2_40', 'depths')


def nyuv2_13(root: Path, split: str) -> 'Nyuv2':
    """13 classes, measured depth."""
    return Nyuv2(root, split, 'nyuv2_13', 'rawDepths')


def remote_files(root: Path, split: str) -> Sequence[RemoteFile]:
    """What `mtperception download` fetches."""
    return FILES


class Nyuv2:
    """The labelled set with one kind of labels and depth. Implements `Dataset`; ids are the 1-based numbers.

    Args:
        root: the folder of the three files.
        split: `train`, `test`, or a list of ids.
        label_space: `nyuv2_40` or one that it is grouped into.
        depth: `rawDepths` or `depths`.

    Raises:
        DatasetError: if a file is missing or is not what it should be.
        ImportError: if h5py or SciPy is missing.
    """

    def __init__(self, root: Path, split: str, label_space: str, depth: str) -> None:
        check_folder(root, EXPECTED)
        self.ids = [f'{number:06d}' for number in _numbers(root, split)]
        self.label_space = label_space
        self._path = root / IMAGES
        self._depth = depth
        self._table = _class_table(root / CLASSES, label_space)
        self._check_numbers(split)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            IndexError: outside of 0..len - 1.
            DatasetError: if the file is damaged or has a class that the mapping does not know.
        """
        position = int(self.ids[index]) - 1
        # Opened anew each time: an open file must not be shared with the worker processes of a loader.
        with open_hdf5(self._path, EXPECTED) as content:
            image, labels, depth = (_read(content, name, position) for name in ('images', 'labels', self._depth))
        if labels.max() >= len(self._table):
            raise DatasetError(f'{self._path}: class {labels.max()}: {CLASSES} knows 1..{len(self._table) - 1}')
        depth = np.ascontiguousarray(depth.T, np.float32)
        image = np.ascontiguousarray(image.transpose(2, 1, 0))
        return Sample(
            image=image,
            labels=self._table[labels.T],
            depth=np.where(is_valid(depth), depth, np.float32(0)),
            intrinsics=fit_camera(CAMERA, image, f'{self._path}: image {self.ids[index]}'),
        )

    def _check_numbers(self, split: str) -> None:
        with open_hdf5(self._path, EXPECTED) as content:
            count = len(_variable(content, 'images'))
        numbers = [int(name) for name in self.ids]
        if min(numbers) < 1 or max(numbers) > count:
            raise DatasetError(
                f'split {split!r} has the numbers {min(numbers)}..{max(numbers)}: expected 1..{count}, '
                f'the images of {self._path}'
            )


def _numbers(root: Path, split: str) -> list[int]:
    """The 1-based numbers of the images of a split, in its order."""
    if split in INDICES:
        return np.asarray(load_matlab(root / SPLITS, INDICES[split], EXPECTED)).ravel().astype(int).tolist()
    names = read_ids(root, split)
    try:
        return [int(name) for name in names]
    except ValueError as error:
        raise DatasetError(f'split {split!r}: expected {", ".join(INDICES)} or a list of numbers: {error}') from error


def _class_table(path: Path, label_space: str) -> np.ndarray:
    """uint8: the index of each of the 894 classes, by their 1-based numbers; 0 is unlabelled."""
    classes = np.asarray(load_matlab(path, 'mapClass', EXPECTED)).ravel()
    fine = load_label_space('nyuv2_40')
    if not len(classes) or classes.min() < 1 or classes.max() > len(fine):
        raise DatasetError(f'{path}: mapClass: expected the class 1..{len(fine)} of each of the 894 classes')
    table = np.concatenate([[IGNORE_INDEX], classes.astype(int) - 1]).astype(np.uint8)
    return fine.conversion(load_label_space(label_space))[table]


def _variable(content: 'h5py.File', name: str) -> 'h5py.Dataset':
    if name not in content:
        raise DatasetError(f'{content.filename}: has no variable {name}: {EXPECTED}')
    return content[name]


def _read(content: 'h5py.File', name: str, position: int) -> np.ndarray:
    """One image's part of a variable: MATLAB's dimensions in reverse order, ...,W,H."""
    try:
        return _variable(content, name)[position]
    except HDF5_FAULTS as error:
        raise DatasetError(f'{content.filename}: {name} of image {position + 1} cannot be read: {error}') from error

# SPDX-License-Identifier: Apache-2.0
"""SUN RGB-D: 10,335 indoor images of four sensors with depth and labels (Song et al., CVPR 2015).

    SUNRGBD/kv1/NYUdata/NYU0001/{image/*.jpg, depth/*.png, intrinsics.txt}   and likewise kv1, kv2, realsense, xtion
    SUNRGBDtoolbox/Metadata/SUNRGBDMeta.mat, SUNRGBDtoolbox/Metadata/SUNRGBD2Dseg.mat
    SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat

- `sunrgbd` has all images of the official split, `train` (5285) or `test` (5050), in 37 classes;
- `sunrgbd_without_nyuv2` leaves out the 1449 that are NYU Depth v2's: for those who train or test on that.

Depth is the sensor's, registered to the image, 0 where it saw nothing. Its 16 bits are rotated by three. What
is farther than 8 m is invalid; the official toolbox sets it to 8 m. Cameras are those of each image's `intrinsics.txt`.
"""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from mtperception.data.dataset import DatasetError
from mtperception.data.files import check_folder, check_sizes, read_image, read_lines, read_map
from mtperception.data.matlab import HDF5_FAULTS, load_matlab, open_hdf5
from mtperception.labels import IGNORE_INDEX, load_label_space
from mtperception.types import Intrinsics, Sample

META = 'SUNRGBDtoolbox/Metadata/SUNRGBDMeta.mat'
LABELS = 'SUNRGBDtoolbox/Metadata/SUNRGBD2Dseg.mat'
SPLITS = 'SUNRGBDtoolbox/traintestSUNRGBD/allsplit.mat'
SPACE = 'sunrgbd_37'
NYUV2 = 'kv1/NYUdata/'
"""The folder of the images that are NYU Depth v2's."""
MAX_DEPTH = 8.0
"""Metres."""
EXPECTED = (
    'expected SUNRGBD and SUNRGBDtoolbox: unpack SUNRGBD.zip and SUNRGBDtoolbox.zip of rgbd.cs.princeton.edu into this '
    'folder'
)


def sunrgbd(root: Path, split: str) -> 'SunRgbd':
    """All images."""
    return SunRgbd(root, split, with_nyuv2=True)


def sunrgbd_without_nyuv2(root: Path, split: str) -> 'SunRgbd':
    """The images that are not NYU Depth v2's."""
    return SunRgbd(root, split, with_nyuv2=False)


@dataclass(frozen=True)
class _Entry:
    """An image as the official list has it."""

    folder: str
    """Relative to SUNRGBD."""
    image: str
    depth: str
    row: int
    """Row in the label file."""


class SunRgbd:
    """One half of the official split. Implements `Dataset`; ids are the official folders with dashes for slashes.

    Args:
        root: the folder with SUNRGBD and SUNRGBDtoolbox.
        split: `train` or `test`.
        with_nyuv2: whether the images that are NYU Depth v2's are in it.

    Raises:
        DatasetError: if a file is missing or is not what it should be, or for another split.
        ImportError: if h5py or SciPy is missing.
    """

    label_space = SPACE

    def __init__(self, root: Path, split: str, *, with_nyuv2: bool) -> None:
        check_folder(root, EXPECTED)
        chosen = _folders(root, split)
        entries = [entry for entry in _entries(root) if entry.folder in chosen]
        if not with_nyuv2:
            entries = [entry for entry in entries if not entry.folder.startswith(NYUV2)]
        if not entries:
            raise DatasetError(f'{root}: no image of {META} is in split {split!r} of {SPLITS}: {EXPECTED}')
        self._root = root
        self._entries = entries
        self._table = np.full(256, IGNORE_INDEX, np.uint8)
        classes = len(load_label_space(SPACE))
        self._table[1 : classes + 1] = np.arange(classes)
        self.ids = [entry.folder.replace('/', '-') for entry in entries]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            IndexError: outside of 0..len - 1.
            DatasetError: if a file is missing or damaged, or annotations do not have the image's size.
        """
        entry = self._entries[index]
        folder = self._root / 'SUNRGBD' / entry.folder
        path = folder / 'image' / entry.image
        image = read_image(path)
        labels, depth = self._labels(entry), _depth(folder / 'depth' / entry.depth)
        check_sizes(str(path), image, {'labels': labels, 'depth': depth})
        return Sample(image, labels, depth, _camera(folder / 'intrinsics.txt', image))

    def _labels(self, entry: _Entry) -> np.ndarray:
        # Opened anew each time: an open file must not be shared with the worker processes of a loader.
        with open_hdf5(self._root / LABELS, EXPECTED) as content:
            try:
                reference = content['SUNRGBD2Dseg']['seglabel'][entry.row].item()
                values = content[reference][()]
            except (*HDF5_FAULTS, ValueError, AttributeError) as error:
                raise DatasetError(f'{content.filename}: labels of {entry.folder} cannot be read: {error}') from error
        return self._table[values.T.astype(np.uint8)]


def _entries(root: Path) -> list[_Entry]:
    """All images in the order of the label file."""
    records = load_matlab(root / META, 'SUNRGBDMeta', EXPECTED, squeeze_me=True, struct_as_record=False)
    try:
        return [
            _Entry(_relative(str(PurePosixPath(each.rgbpath).parent.parent)), each.rgbname, each.depthname, row)
            for row, each in enumerate(np.atleast_1d(records))
        ]
    except (AttributeError, TypeError) as error:
        raise DatasetError(f'{root / META}: expected rgbpath, rgbname and depthname of each image: {error}') from error


def _folders(root: Path, split: str) -> set[str]:
    """Folders of the images of a split."""
    if split not in ('train', 'test'):
        raise DatasetError(f'SUN RGB-D has no split {split!r}: expected train or test')
    paths: Any = load_matlab(root / SPLITS, f'all{split}', EXPECTED, squeeze_me=True)
    return {_relative(str(path)) for path in np.atleast_1d(paths)}


def _relative(path: str) -> str:
    """A folder of the official lists, which were made on another machine, relative to SUNRGBD."""
    return str(PurePosixPath(path.rpartition('SUNRGBD/')[2]))


def _depth(path: Path) -> np.ndarray:
    """float32 H,W: metres."""
    raw = read_map(path)
    if raw.dtype != np.uint16:
        raise DatasetError(f'{path}: values of {raw.dtype}: expected 16 bits')
    depth = ((raw >> 3) | (raw << 13)).astype(np.float32) / 1000
    depth[depth > MAX_DEPTH] = 0
    return depth


def _camera(path: Path, image: np.ndarray) -> Intrinsics:
    """The nine numbers of a 3x3 matrix, in one line or three."""
    try:
        fx, _, cx, _, fy, cy, *_ = (float(text) for line in read_lines(path) for text in line.split())
    except ValueError as error:
        raise DatasetError(f'{path}: expected the nine numbers of a camera matrix: {error}') from error
    return Intrinsics(fx, fy, cx, cy, image.shape[1], image.shape[0])

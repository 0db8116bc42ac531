# SPDX-License-Identifier: Apache-2.0
"""Data sets of images with label images beside them, and the ways in which labels are stored in these."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mtperception.data.dataset import DatasetError
from mtperception.data.files import check_sizes, read_image, read_map
from mtperception.image_files import is_hidden
from mtperception.labels import IGNORE_INDEX
from mtperception.types import Sample

STRAY_SHARE = 0.01
"""Labels painted by hand have stray pixels in colours of no class; with a larger share it is another kind of file."""

Color = tuple[int, int, int]


class LabelledImages:
    """Pairs of an image and a label image. Implements `Dataset`.

    Args:
        files: by id, in order, the paths of image and labels.
        label_space: of what `read_labels` returns.
        read_labels: reads a label file as uint8 H,W of class indices, 255 = unlabelled.
    """

    def __init__(
        self,
        files: Mapping[str, tuple[Path, Path]],
        label_space: str,
        read_labels: Callable[[Path], np.ndarray],
    ) -> None:
        self.ids = list(files)
        self.label_space = label_space
        self._files = list(files.values())
        self._read_labels = read_labels

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            IndexError: outside of 0..len - 1.
            DatasetError: if a file is missing or damaged, or the labels do not fit the image.
        """
        image_path, label_path = self._files[index]
        image, labels = read_image(image_path), self._read_labels(label_path)
        check_sizes(str(image_path), image, {'labels': labels})
        return Sample(image, labels)


def read_indices(path: Path, table: np.ndarray) -> np.ndarray:
    """uint8 H,W: the values of a label image looked up in a table of 256 class indices (uint8, 255 = unlabelled).

    Raises:
        DatasetError: if it is not an image of one 8-bit channel.
    """
    values = read_map(path)
    if values.dtype != np.uint8:
        raise DatasetError(f'{path}: values of {values.dtype}: expected 8 bits')
    return table[values]


def read_colors(path: Path, classes: Mapping[Color, int]) -> np.ndarray:
    """uint8 H,W: the class index of each pixel's colour, by a table of all colours that there may be.

    Raises:
        DatasetError: if it is not an image, or more than one pixel in a hundred has a colour that is not in the table.
    """
    codes = _codes(read_image(path))
    known = _codes(np.array(list(classes), np.uint8))
    order = np.argsort(known)
    nearest = order[np.searchsorted(known[order], codes).clip(max=len(known) - 1)]
    found = known[nearest] == codes
    if found.mean() < 1 - STRAY_SHARE:
        code = int(codes[~found][0])
        color = (code >> 16, code >> 8 & 255, code & 255)
        raise DatasetError(f'{path}: colour {color} belongs to no class: expected the label colours of this data set')
    return np.where(found, np.array(list(classes.values()), np.uint8)[nearest], np.uint8(IGNORE_INDEX))


def _codes(colors: np.ndarray) -> np.ndarray:
    """Each colour of an uint8 ...,3 array as one number."""
    return colors.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)


def paths_by_stem(folder: Path, pattern: str, expected: str) -> dict[str, Path]:
    """The files of a folder by their names without suffix, sorted.

    Raises:
        DatasetError: if there are none; the message goes on with `expected`.
    """
    paths = {path.stem: path for path in sorted(folder.glob(pattern)) if not is_hidden(path)}
    if not paths:
        raise DatasetError(f'{folder}: no {pattern}: {expected}')
    return paths

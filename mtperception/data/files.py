# SPDX-License-Identifier: Apache-2.0
"""Reading the files of a data set, with errors that say which file and what is wrong with it."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mtperception.data.dataset import DatasetError
from mtperception.errors import SourceError
from mtperception.image_files import is_hidden, read_rgb
from mtperception.labels import IGNORE_INDEX
from mtperception.messages import RefusedImageError
from mtperception.messages.compressed import unchanged_image
from mtperception.types import Intrinsics

_log = logging.getLogger(__name__)


def read_image(path: Path) -> np.ndarray:
    """uint8 H,W,3, RGB: a PNG or JPEG file, turned upright as its EXIF data say.

    Raises:
        DatasetError: if there is none or it is not an image.
    """
    _check_is_file(path)
    try:
        return read_rgb(path)
    except SourceError as error:
        raise DatasetError(str(error)) from error


def read_map(path: Path) -> np.ndarray:
    """H,W: the raw values of an image file with one channel (labels, depth), in its own type.

    Of a PNG with a palette, as tools for annotation write them, these are the numbers of its colours.

    Raises:
        DatasetError: if there is none, it is not an image, or it has several channels.
    """
    _check_is_file(path)
    try:
        values = unchanged_image(path.read_bytes())
    except (OSError, RefusedImageError) as error:
        raise DatasetError(f'{path}: not an image that can be read: {error}') from error
    if values.ndim != 2:
        raise DatasetError(f'{path}: found {values.shape[2]} channels: expected one, of class indices or depth')
    return values


def read_lines(path: Path) -> list[str]:
    """The lines of a text file, stripped, without the empty ones.

    Raises:
        DatasetError: if there is no such file, it is not text, or it has no lines.
    """
    _check_is_file(path)
    try:
        lines = [line.strip() for line in path.read_text(encoding='utf-8-sig').splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f'{path}: not readable as text: {error}') from error
    lines = [line for line in lines if line]
    if not lines:
        raise DatasetError(f'{path}: empty: expected one sample per line')
    return lines


def list_of(root: Path, split: str) -> Path | None:
    """The list of a split: `<root>/<split>.txt`, else the file `split` if it is a path; None without one."""
    return next((path for path in (root / f'{split}.txt', Path(split).expanduser()) if path.is_file()), None)


def read_ids(root: Path, split: str, id_of: Callable[[str], str] = str) -> list[str]:
    """The ids of `list_of` a split.

    Args:
        root: the data set's folder.
        split: name or path.
        id_of: the id that a line of the list means.

    Raises:
        DatasetError: if there is neither, or the file lists nothing, or an id twice.
    """
    path = list_of(root, split)
    if path is None:
        known = ', '.join(sorted(path.stem for path in root.glob('*.txt') if not is_hidden(path))) or 'none'
        raise DatasetError(
            f'{root}: no split {split!r}: expected {split}.txt with one id per line, the path of such a file, '
            f'or one of: {known}'
        )
    ids = [id_of(line) for line in read_lines(path)]
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise DatasetError(f'{path}: lists {twice!r} more than once: expected each id once')
    return ids


def check_folder(root: Path, expected: str) -> None:
    """Check that a data set's folder is there.

    Raises:
        DatasetError: if not; the message goes on with `expected`, what the folder must hold and where to get it.
    """
    if not root.is_dir():
        raise DatasetError(f'{root}: no such folder: {expected}')


def fit_camera(camera: Intrinsics | None, image: np.ndarray, what: str) -> Intrinsics | None:
    """The camera of a data set for one of its images (H,W,3); None, and said once, if it is of another shape.

    Args:
        camera: for images of its own size.
        image: whose camera it is said to be.
        what: the image, for the message.
    """
    fitted = camera and camera.for_image(image.shape[1], image.shape[0])
    if camera is not None and fitted is None:
        _warn_of_shape(camera, f'{what} of {image.shape[1]}x{image.shape[0]}')
    return fitted


def _warn_of_shape(camera: Intrinsics, found: str) -> None:
    if camera in _warned:
        return
    _warned.add(camera)
    _log.warning(
        '%s: the camera is for %dx%d, another shape: unknown for this image and others like it',
        found,
        camera.width,
        camera.height,
    )


_warned: set[Intrinsics] = set()
"""Cameras that did not fit an image, which was said."""


def check_sizes(name: str, image: np.ndarray, maps: Mapping[str, np.ndarray | None]) -> None:
    """Check that the annotations of a sample (by what they are) have its image's height and width.

    Raises:
        DatasetError: if one has not.
    """
    height, width = image.shape[:2]
    for what, values in maps.items():
        if values is not None and values.shape != (height, width):
            found = f'{values.shape[1]}x{values.shape[0]}'
            raise DatasetError(f'{name}: the {what} are {found}: expected the size of the image, {width}x{height}')


def class_indices(path: Path, values: np.ndarray, count: int, ignored: int | None) -> np.ndarray:
    """uint8 H,W: class indices with 255 for `ignored`.

    Args:
        path: where the values are from, for the message.
        values: integers H,W.
        count: number of classes.
        ignored: the value of unlabelled pixels; None for a file in which all are labelled.

    Raises:
        DatasetError: for a value that is neither a class nor `ignored`.
    """
    unlabelled = values == ignored if ignored is not None else np.zeros(values.shape, bool)
    wrong = ((values >= count) | (values < 0)) & ~unlabelled
    if wrong.any():
        raise DatasetError(f'{path}: label {values[wrong][0]}: expected 0..{count - 1}, or {ignored} for unlabelled')
    return np.where(unlabelled, IGNORE_INDEX, values).astype(np.uint8)


def _check_is_file(path: Path) -> None:
    if not path.is_file():
        raise DatasetError(f'{path}: no such file')

# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/Image and CompressedImage to class indices, by their fields."""

import numpy as np

from mtperception.labels import IGNORE_INDEX
from mtperception.messages.compressed import unchanged_png
from mtperception.messages.errors import RefusedImageError
from mtperception.messages.image_decoding import check_bytes, check_size
from mtperception.messages.protocols import CompressedImage, Image

BYTE_ENCODINGS = ('mono8', '8UC1')


def image_to_bytes(msg: Image) -> np.ndarray:
    """uint8 H,W, read-only: the values of an image of one byte per pixel, as they are.

    Raises:
        RefusedImageError: of kind `encoding`, `size`, `step` or `data`.
    """
    if msg.encoding not in BYTE_ENCODINGS:
        raise RefusedImageError('encoding', f'found {msg.encoding[:40]!r}, expected {" or ".join(BYTE_ENCODINGS)}')
    check_size(msg.width, msg.height)
    check_bytes(msg, msg.height, msg.width)
    return np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.step)[:, : msg.width]


def image_to_labels(msg: Image, label_offset: int) -> np.ndarray:
    """uint8 H,W: class indices, 255 = unknown, of an image of ids.

    Args:
        msg: of one byte per pixel: index + `label_offset`. 255 and, with an offset, what is below it is unknown.
        label_offset: id of the first class.

    Raises:
        RefusedImageError: of kind `encoding`, `size`, `step` or `data`.
    """
    return _indices(image_to_bytes(msg), label_offset)


def compressed_to_labels(msg: CompressedImage, label_offset: int) -> np.ndarray:
    """As `image_to_labels`, of a PNG.

    Raises:
        RefusedImageError: of kind `data`, `size` or `compressed`.
    """
    ids = unchanged_png(bytes(msg.data))
    if ids.ndim != 2 or ids.dtype != np.uint8:
        raise RefusedImageError(
            'compressed', f'found a PNG of {ids.dtype} {ids.shape}, expected ids in one channel of 8 bits'
        )
    return _indices(ids, label_offset)


def _indices(ids: np.ndarray, label_offset: int) -> np.ndarray:
    known = (ids >= label_offset) & (ids != IGNORE_INDEX)
    return np.where(known, ids - np.uint8(label_offset), np.uint8(IGNORE_INDEX)).astype(np.uint8)

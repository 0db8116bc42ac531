# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/Image and CompressedImage to metric depth, by their fields."""

import struct

import numpy as np

from mtperception.geometry import is_valid
from mtperception.messages.compressed import unchanged_png
from mtperception.messages.errors import RefusedImageError
from mtperception.messages.image_decoding import check_bytes, check_size
from mtperception.messages.protocols import CompressedImage, Image
from mtperception.messages.rvl import RvlError, decode_rvl

DEPTH_ENCODINGS = {'16UC1': 'u2', 'mono16': 'u2', '32FC1': 'f4'}
"""NumPy type by `Image.encoding`: integers are millimetres, floats metres (REP 118)."""
_CONFIG_HEADER = struct.Struct('<iff')
"""What compressed_depth_image_transport puts before the PNG or RVL data: a format, which its decoder does not read, and
the two parameters of the quantisation of 32FC1."""
_RVL_SIZE = struct.Struct('<II')
"""Width and height, which come before RVL data."""
_SATURATED = 65535
"""Millimetres that 16 bits hold at most: what sensors write where they measured too much, or nothing."""


def image_to_depth(msg: Image) -> np.ndarray:
    """float32 H,W, metres, 0 = invalid, of a 16UC1 (or mono16) or 32FC1 image; rows may be padded.

    Of 16 bits 65535 is invalid, too.

    Raises:
        RefusedImageError: of kind `encoding`, `size`, `step` or `data`.
    """
    if msg.encoding not in DEPTH_ENCODINGS:
        raise _not_depth(msg.encoding)
    kind = np.dtype(('>' if msg.is_bigendian else '<') + DEPTH_ENCODINGS[msg.encoding])
    check_size(msg.width, msg.height)
    check_bytes(msg, msg.height, msg.width * kind.itemsize)
    rows = np.frombuffer(msg.data, np.uint8).reshape(msg.height, msg.step)[:, : msg.width * kind.itemsize]
    values = np.ascontiguousarray(rows).view(kind)
    return _metres(values) if kind.kind == 'u' else _valid(values.astype(np.float32))


def compressed_to_depth(msg: CompressedImage) -> np.ndarray:
    """float32 H,W, metres, 0 = invalid, of what compressed_depth_image_transport (PNG, RVL) or, for 16UC1, the plain
    `compressed` transport (PNG) makes.

    Of 32FC1 there are quantised inverse depths q: depth = A / (q - B) with A and B from the header, and q = 0 where
    there is none (`decodeCompressedDepthImage` in the transport's codec.cpp).

    Raises:
        RefusedImageError: of kind `encoding`, `data`, `size` or `compressed`.
    """
    encoding, _, transport = (part.strip() for part in msg.format.partition(';'))
    data = bytes(msg.data)
    if encoding not in DEPTH_ENCODINGS:
        raise _not_depth(msg.format)
    scale, shift = 0.0, 0.0
    # Versions before the transport was named in the format wrote nothing but the encoding.
    if 'compressedDepth' in transport or not transport:
        if len(data) <= _CONFIG_HEADER.size:
            found = f'found {len(data)} bytes, expected a header of {_CONFIG_HEADER.size} and a PNG file or RVL data'
            raise RefusedImageError('data', found)
        _, scale, shift = _CONFIG_HEADER.unpack_from(data)
        data = data[_CONFIG_HEADER.size :]
    values = _rvl(data) if 'rvl' in transport.lower() else _png(data)
    if DEPTH_ENCODINGS[encoding] == 'u2':
        return _metres(values)
    inverse = values.astype(np.float32) - np.float32(shift)
    depth = np.zeros(values.shape, np.float32)
    np.divide(np.float32(scale), inverse, out=depth, where=(values > 0) & (inverse != 0))
    return _valid(depth)


def _png(data: bytes) -> np.ndarray:
    """uint16 H,W of a PNG file."""
    values = unchanged_png(data)
    if values.ndim != 2 or values.dtype != np.uint16:
        raise RefusedImageError(
            'compressed', f'found a PNG of {values.dtype} {values.shape}, expected one channel of 16 bits'
        )
    return values


def _rvl(data: bytes) -> np.ndarray:
    """uint16 H,W of RVL data behind their size."""
    if len(data) < _RVL_SIZE.size:
        raise RefusedImageError('data', f'found {len(data)} bytes of RVL data, expected a width and a height first')
    width, height = _RVL_SIZE.unpack_from(data)
    check_size(width, height)
    try:
        return decode_rvl(data[_RVL_SIZE.size :], width * height).reshape(height, width)
    except RvlError as error:
        raise RefusedImageError(
            'compressed', f'found {len(data)} bytes of RVL data, {error}, expected a depth image of {width}x{height}'
        ) from error


def is_depth_encoding(text: str) -> bool:
    """Whether `Image.encoding` or `CompressedImage.format` speaks of depth; mono16 can be, but mostly is brightness."""
    return text.partition(';')[0].strip() in ('16UC1', '32FC1')


def _metres(millimeters: np.ndarray) -> np.ndarray:
    depth = millimeters.astype(np.float32) / np.float32(1000)
    depth[millimeters == _SATURATED] = 0
    return depth


def _valid(depth: np.ndarray) -> np.ndarray:
    depth[~is_valid(depth)] = 0
    return depth


def _not_depth(found: str) -> RefusedImageError:
    return RefusedImageError(
        'encoding',
        f'found {found[:60]!r}, expected depth as {", ".join(DEPTH_ENCODINGS)}, raw or in PNG or RVL',
    )

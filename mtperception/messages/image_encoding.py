# SPDX-License-Identifier: Apache-2.0
"""Arrays as sensor_msgs/Image and CompressedImage. Data are little-endian and rows unpadded."""

import cv2
import numpy as np

from mtperception.errors import InputError
from mtperception.geometry import depth_in_millimeters
from mtperception.messages.message import COMPRESSED_IMAGE, IMAGE, Message, as_bytes

JPEG_QUALITY = 80
"""For viewers over a network: about half the bytes of OpenCV's default of 95."""
SMALLEST_DEPTH = float(np.finfo(np.float32).tiny)
"""The smallest depth that is not 0."""

_LAYOUTS = {
    'mono8': ('u1', ()),
    'rgb8': ('u1', (3,)),
    '16UC1': ('<u2', ()),
    '32FC1': ('<f4', ()),
    '32FC3': ('<f4', (3,)),
}


def mono8_image(values: np.ndarray) -> Message:
    """Image mono8 of uint8 H,W: class ids, a mask, confidence."""
    return _image(values, 'mono8')


def rgb8_image(rgb: np.ndarray) -> Message:
    """Image rgb8 of uint8 H,W,3."""
    return _image(rgb, 'rgb8')


def depth_image_32fc1(depth: np.ndarray) -> Message:
    """Image 32FC1, metres, NaN = invalid, of float32 H,W in metres, 0 = invalid."""
    if depth.min() > 0:
        return _image(depth, '32FC1')
    published = np.full_like(depth, np.nan)
    cv2.copyTo(depth, (depth >= SMALLEST_DEPTH).view(np.uint8), published)
    return _image(published, '32FC1')


def depth_image_16uc1(depth: np.ndarray) -> Message:
    """Image 16UC1, millimetres to the nearest, 0 = invalid or above 65.535 m, of float32 H,W in metres, 0 = invalid."""
    return _image(depth_in_millimeters(depth).astype('<u2'), '16UC1')


def normals_image(normals: np.ndarray) -> Message:
    """Image 32FC3 of float32 H,W,3: unit vectors x, y, z in the camera frame."""
    return _image(normals, '32FC3')


def jpeg_image(rgb: np.ndarray) -> Message:
    """CompressedImage of uint8 H,W,3 RGB as a JPEG, its `format` as image_transport writes it for rgb8.

    Raises:
        ValueError: if `rgb` is of another type or shape.
    """
    _check(rgb, 'rgb8')
    _, jpeg = cv2.imencode('.jpg', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    # bgr8 is how image_transport hands pixels to the encoder; the JPEG's own colours are the usual ones.
    return Message(COMPRESSED_IMAGE, {'format': 'rgb8; jpeg compressed bgr8', 'data': as_bytes(jpeg)})


DEPTH_IMAGES = {'32FC1': depth_image_32fc1, '16UC1': depth_image_16uc1}
"""By the encoding of the depth image."""


def _image(values: np.ndarray, encoding: str) -> Message:
    """The message of an array that has the layout of `encoding`, whose bytes it shares where they are in order."""
    _check(values, encoding)
    height, width = values.shape[:2]
    return Message(
        IMAGE,
        {
            'height': height,
            'width': width,
            'encoding': encoding,
            'is_bigendian': 0,
            'step': values[:1].nbytes,
            'data': as_bytes(values),
        },
    )


def _check(values: np.ndarray, encoding: str) -> None:
    dtype, channels = _LAYOUTS[encoding]
    if values.dtype != dtype or values.ndim < 2 or values.shape[2:] != channels:
        expected = ','.join(['H', 'W', *map(str, channels)])
        raise InputError(
            f'found {values.dtype} of shape {values.shape} for {encoding}, expected {np.dtype(dtype)} {expected}'
        )

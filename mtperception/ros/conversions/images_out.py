"""Arrays to sensor_msgs/Image and CompressedImage.

Every function copies stamp and frame of the header it is given. Data are little-endian and rows unpadded.
"""

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from mtperception.geometry import depth_in_millimeters
from mtperception.ros.conversions.fields import copied, fill_data

JPEG_QUALITY = 80
"""For viewers over a network: about half the bytes of OpenCV's default of 95."""

_LAYOUTS = {
    'mono8': ('u1', ()),
    'rgb8': ('u1', (3,)),
    '16UC1': ('<u2', ()),
    '32FC1': ('<f4', ()),
    '32FC3': ('<f4', (3,)),
}


def mono8_image(values: np.ndarray, header: Header) -> Image:
    """Image mono8 of uint8 H,W: class ids, a mask, confidence."""
    return _image(values, 'mono8', header)


def rgb8_image(rgb: np.ndarray, header: Header) -> Image:
    """Image rgb8 of uint8 H,W,3."""
    return _image(rgb, 'rgb8', header)


def depth_image_32fc1(depth: np.ndarray, header: Header) -> Image:
    """Image 32FC1, metres, NaN = invalid, of float32 H,W in metres, 0 = invalid."""
    msg = _image(depth, '32FC1', header)
    published = np.frombuffer(msg.data, '<f4').reshape(depth.shape)
    np.copyto(published, np.float32(np.nan), where=published <= 0)
    return msg


def depth_image_16uc1(depth: np.ndarray, header: Header) -> Image:
    """Image 16UC1, millimetres to the nearest, 0 = invalid or above 65.535 m, of float32 H,W in metres, 0 = invalid."""
    return _image(depth_in_millimeters(depth).astype('<u2'), '16UC1', header)


def normals_image(normals: np.ndarray, header: Header) -> Image:
    """Image 32FC3 of float32 H,W,3: unit vectors x, y, z in the camera frame."""
    return _image(normals, '32FC3', header)


def jpeg_image(rgb: np.ndarray, header: Header) -> CompressedImage:
    """CompressedImage of uint8 H,W,3 RGB as a JPEG, its `format` as image_transport writes it for rgb8.

    Raises:
        ValueError: if `rgb` is of another type or shape.
    """
    _check(rgb, 'rgb8')
    _, jpeg = cv2.imencode('.jpg', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    # bgr8 is how image_transport hands pixels to the encoder; the JPEG's own colours are the usual ones.
    msg = CompressedImage(header=copied(header), format='rgb8; jpeg compressed bgr8')
    fill_data(msg, jpeg)
    return msg


DEPTH_IMAGES = {'32FC1': depth_image_32fc1, '16UC1': depth_image_16uc1}
"""By the encoding of the depth image."""


def _image(values: np.ndarray, encoding: str, header: Header) -> Image:
    """The message of an array that has the layout of `encoding`: its bytes are copied once."""
    _check(values, encoding)
    height, width = values.shape[:2]
    msg = Image(
        header=copied(header),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=values[:1].nbytes,
    )
    fill_data(msg, values)
    return msg


def _check(values: np.ndarray, encoding: str) -> None:
    dtype, channels = _LAYOUTS[encoding]
    if values.dtype != dtype or values.ndim < 2 or values.shape[2:] != channels:
        expected = ','.join(['H', 'W', *map(str, channels)])
        raise ValueError(
            f'found {values.dtype} of shape {values.shape} for {encoding}, expected {np.dtype(dtype)} {expected}'
        )

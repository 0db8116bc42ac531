# SPDX-License-Identifier: Apache-2.0
"""Arrays as sensor_msgs/PointCloud2."""

import cv2
import numpy as np

from mtperception.errors import InputError
from mtperception.messages.message import POINT_CLOUD, Message, as_bytes

POINT = np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('rgb', '<u4'), ('label', '<u4'), ('confidence', '<f4')])
"""One point of a cloud: 24 bytes. `rgb` is an integer which the message, by PCL's convention, declares as FLOAT32."""

_FLOAT32, _UINT32 = 7, 6
"""Constants of sensor_msgs/PointField."""
_POINT_TYPES = {
    'x': _FLOAT32,
    'y': _FLOAT32,
    'z': _FLOAT32,
    'rgb': _FLOAT32,
    'label': _UINT32,
    'confidence': _FLOAT32,
}


def point_cloud(points: np.ndarray, rgb: np.ndarray, labels: np.ndarray, confidence: np.ndarray) -> Message:
    """Organised cloud of H,W points, little-endian, not dense.

    Fields: FLOAT32 x y z, FLOAT32 rgb (packed 0x00RRGGBB), UINT32 label, FLOAT32 confidence.

    Args:
        points: float32 H,W,3: metres in the camera frame, NaN = invalid.
        rgb: uint8 H,W,3.
        labels: uint8 H,W: class ids as published.
        confidence: uint8 H,W: 0..255, published as 0..1.

    Raises:
        ValueError: if the maps are not all of the size of `points`.
    """
    height, width = points.shape[:2]
    sizes = [x.shape[:2] for x in (points, rgb, labels, confidence)]
    if sizes != [(height, width)] * 4:
        raise InputError(f'found points, rgb, labels and confidence of {sizes}, expected one height and width')
    return Message(
        POINT_CLOUD,
        {
            'height': height,
            'width': width,
            'fields': _fields(),
            'is_bigendian': False,
            'point_step': POINT.itemsize,
            'row_step': POINT.itemsize * width,
            'data': as_bytes(_filled(points, rgb, labels, confidence)),
            'is_dense': False,
        },
    )


def _filled(points: np.ndarray, rgb: np.ndarray, labels: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """`POINT` H,W. Each map is written to its place once."""
    cloud = np.empty(points.shape[:2], POINT)
    cloud['x'], cloud['y'], cloud['z'] = points[..., 0], points[..., 1], points[..., 2]
    cloud['rgb'] = _packed(rgb)
    cloud['label'] = labels
    np.divide(confidence, np.float32(255), out=cloud['confidence'])
    return cloud


def _packed(rgb: np.ndarray) -> np.ndarray:
    """uint32 H,W: 0x00RRGGBB."""
    if not rgb.size:  # which OpenCV refuses
        return np.zeros(rgb.shape[:2], '<u4')
    if not rgb.flags.c_contiguous:  # every n-th pixel: three strided copies of bytes are faster than one of triples
        rgb = np.dstack([rgb[..., channel] for channel in range(3)])
    bgra = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA)
    return bgra.view('<u4')[..., 0] & np.uint32(0x00FFFFFF)


def _fields() -> list[Message]:
    return [
        Message(
            'sensor_msgs/msg/PointField',
            {'name': name, 'offset': POINT.fields[name][1], 'datatype': datatype, 'count': 1},
        )
        for name, datatype in _POINT_TYPES.items()
    ]

# SPDX-License-Identifier: Apache-2.0
"""Arrays as sensor_msgs/PointCloud2."""

import cv2
import numpy as np

from mtperception.errors import InputError
from mtperception.messages.message import POINT_CLOUD, Message, as_bytes

POINT = np.dtype([('x', '<f4'), ('y', '<f4'), ('z', '<f4'), ('rgb', '<u4'), ('label', '<u4'), ('confidence', '<f4')])
"""One point of a cloud: 24 bytes. `rgb` is an integer which the message, by PCL's convention, declares as FLOAT32."""
POINT_OF_DEPTH_CONFIDENCE = np.dtype([*POINT.descr, ('depth_confidence', '<f4')])
"""The same of a model that says how sure it is of depth: 28 bytes."""

_FLOAT32 = 7
_DATATYPES = {'<i4': 5, '<u4': 6, '<f4': _FLOAT32}
"""Constants of sensor_msgs/PointField."""


def point_cloud(
    points: np.ndarray,
    rgb: np.ndarray,
    labels: np.ndarray,
    confidence: np.ndarray,
    depth_confidence: np.ndarray | None = None,
) -> Message:
    """Organised cloud of H,W points, little-endian, not dense.

    Fields: FLOAT32 x y z, FLOAT32 rgb (packed 0x00RRGGBB), UINT32 label, FLOAT32 confidence, and if it is given FLOAT32
    depth_confidence.

    Args:
        points: float32 H,W,3: metres in the camera frame, NaN = invalid.
        rgb: uint8 H,W,3.
        labels: uint8 H,W: class ids as published.
        confidence: uint8 H,W: 0..255, published as 0..1.
        depth_confidence: the same of the depth.

    Raises:
        ValueError: if the maps are not all of the size of `points`.
    """
    height, width = points.shape[:2]
    maps = {'rgb': rgb, 'labels': labels, 'confidence': confidence, 'depth_confidence': depth_confidence}
    sizes = {name: map_.shape[:2] for name, map_ in maps.items() if map_ is not None}
    if set(sizes.values()) != {(height, width)}:
        raise InputError(f'found points of {(height, width)} and maps of {sizes}, expected one height and width')
    return cloud_message(_filled(points, rgb, labels, confidence, depth_confidence))


def cloud_message(cloud: np.ndarray) -> Message:
    """The message of H,W points whose dtype names their fields, as `POINT` does; not dense."""
    height, width = cloud.shape
    return Message(
        POINT_CLOUD,
        {
            'height': height,
            'width': width,
            'fields': [_field(cloud.dtype, name) for name in cloud.dtype.names],
            'is_bigendian': False,
            'point_step': cloud.itemsize,
            'row_step': cloud.itemsize * width,
            'data': as_bytes(cloud),
            'is_dense': False,
        },
    )


def _filled(
    points: np.ndarray,
    rgb: np.ndarray,
    labels: np.ndarray,
    confidence: np.ndarray,
    depth_confidence: np.ndarray | None,
) -> np.ndarray:
    """`POINT` or `POINT_OF_DEPTH_CONFIDENCE`, H,W. Each map is written to its place once."""
    cloud = np.empty(points.shape[:2], POINT if depth_confidence is None else POINT_OF_DEPTH_CONFIDENCE)
    cloud['x'], cloud['y'], cloud['z'] = points[..., 0], points[..., 1], points[..., 2]
    cloud['rgb'] = _packed(rgb)
    cloud['label'] = labels
    np.divide(confidence, np.float32(255), out=cloud['confidence'])
    if depth_confidence is not None:
        np.divide(depth_confidence, np.float32(255), out=cloud['depth_confidence'])
    return cloud


def _packed(rgb: np.ndarray) -> np.ndarray:
    """uint32 H,W: 0x00RRGGBB."""
    if not rgb.size:  # which OpenCV refuses
        return np.zeros(rgb.shape[:2], '<u4')
    if not rgb.flags.c_contiguous:  # every n-th pixel: three strided copies of bytes are faster than one of triples
        rgb = np.dstack([rgb[..., channel] for channel in range(3)])
    bgra = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGRA)
    return bgra.view('<u4')[..., 0] & np.uint32(0x00FFFFFF)


def _field(point: np.dtype, name: str) -> Message:
    kind, offset = point.fields[name][:2]
    datatype = _FLOAT32 if name == 'rgb' else _DATATYPES[kind.str]
    return Message('sensor_msgs/msg/PointField', {'name': name, 'offset': offset, 'datatype': datatype, 'count': 1})

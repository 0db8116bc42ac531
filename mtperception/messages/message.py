# SPDX-License-Identifier: Apache-2.0
"""A message that belongs to no library."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

IMAGE = 'sensor_msgs/msg/Image'
COMPRESSED_IMAGE = 'sensor_msgs/msg/CompressedImage'
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
POINT_CLOUD = 'sensor_msgs/msg/PointCloud2'
STRING = 'std_msgs/msg/String'


@dataclass(frozen=True)
class Message:
    """All fields of a message but the header, which its sender adds."""

    kind: str
    """Such as `sensor_msgs/msg/Image`."""
    fields: Mapping[str, Any]
    """By name: numbers, texts, messages, lists of messages; bytes as uint8 N, numbers as float64 N."""


def as_bytes(values: np.ndarray) -> np.ndarray:
    """uint8 N: the bytes of an array in row-major order, without a copy if they are so already."""
    return np.ascontiguousarray(values).reshape(-1).view(np.uint8)

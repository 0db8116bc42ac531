# SPDX-License-Identifier: Apache-2.0
"""The fields of messages that decoding reads, whichever library made the messages."""

from array import array
from collections.abc import Sequence
from typing import Protocol

import numpy as np

Bytes = array | np.ndarray
"""uint8."""


class Image(Protocol):
    """sensor_msgs/Image."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Bytes


class CompressedImage(Protocol):
    """sensor_msgs/CompressedImage."""

    format: str
    data: Bytes


class RegionOfInterest(Protocol):
    """sensor_msgs/RegionOfInterest."""

    x_offset: int
    y_offset: int
    height: int
    width: int


class CameraInfo(Protocol):
    """sensor_msgs/CameraInfo."""

    height: int
    width: int
    k: Sequence[float]
    p: Sequence[float]
    binning_x: int
    binning_y: int
    roi: RegionOfInterest

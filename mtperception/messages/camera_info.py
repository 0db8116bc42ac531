# SPDX-License-Identifier: Apache-2.0
"""Intrinsics as sensor_msgs/CameraInfo."""

from dataclasses import astuple

import numpy as np

from mtperception.messages.message import CAMERA_INFO, Message
from mtperception.types import Intrinsics

NO_ROI = Message(
    'sensor_msgs/msg/RegionOfInterest',
    {'x_offset': 0, 'y_offset': 0, 'height': 0, 'width': 0, 'do_rectify': False},
)


def camera_info(intrinsics: Intrinsics) -> Message:
    """CameraInfo of an undistorted camera (plumb_bob, D zero, R identity)."""
    fx, fy, cx, cy, width, height = astuple(intrinsics)
    return Message(
        CAMERA_INFO,
        {
            'width': width,
            'height': height,
            'distortion_model': 'plumb_bob',
            'd': np.zeros(5),
            'k': np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1], np.float64),
            'r': np.eye(3).ravel(),
            'p': np.array([fx, 0, cx, 0, 0, fy, cy, 0, 0, 0, 1, 0], np.float64),
            'binning_x': 0,
            'binning_y': 0,
            'roi': NO_ROI,
        },
    )

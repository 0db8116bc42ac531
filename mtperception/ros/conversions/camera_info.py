"""Intrinsics to sensor_msgs/CameraInfo."""

from dataclasses import astuple

from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from mtperception.ros.conversions.fields import copied
from mtperception.types import Intrinsics


def camera_info_from(intrinsics: Intrinsics, header: Header) -> CameraInfo:
    """CameraInfo of an undistorted camera (plumb_bob, D zero, R identity), with a copy of `header`."""
    *numbers, width, height = astuple(intrinsics)
    fx, fy, cx, cy = map(float, numbers)  # rclpy, when it checks fields, refuses integers
    return CameraInfo(
        header=copied(header),
        width=width,
        height=height,
        distortion_model='plumb_bob',
        d=[0.0] * 5,
        k=[fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        p=[fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    )

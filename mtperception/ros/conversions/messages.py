# SPDX-License-Identifier: Apache-2.0
"""Messages of rclpy from those of `mtperception.messages`."""

from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2, PointField, RegionOfInterest
from std_msgs.msg import Header, String

from mtperception.messages import image_encoding as images
from mtperception.messages.camera_info import camera_info
from mtperception.messages.message import CAMERA_INFO, COMPRESSED_IMAGE, IMAGE, POINT_CLOUD, STRING, Message
from mtperception.types import Intrinsics

MESSAGE_TYPES = {
    IMAGE: Image,
    COMPRESSED_IMAGE: CompressedImage,
    CAMERA_INFO: CameraInfo,
    POINT_CLOUD: PointCloud2,
    STRING: String,
    'sensor_msgs/msg/PointField': PointField,
    'sensor_msgs/msg/RegionOfInterest': RegionOfInterest,
}
"""Classes by `Message.kind`."""


def ros_message(message: Message, header: Header | None = None) -> Any:
    """The message with a copy of `header`, its stamp to the nanosecond; None for a type without one."""
    fields = {} if header is None else {'header': _copied(header)}
    arrays = {}
    for name, value in message.fields.items():
        if isinstance(value, np.ndarray) and value.dtype == np.uint8:
            arrays[name] = value
        else:
            fields[name] = _field(value)
    made = MESSAGE_TYPES[message.kind](**fields)
    for name, value in arrays.items():
        # One copy, into the array.array that the message made for itself: assigning costs another one, or with
        # ROS_PYTHON_CHECK_FIELDS=1 and anything but an array.array a check of every single byte.
        getattr(made, name).frombytes(memoryview(value))
    return made


def rgb8_image(rgb: np.ndarray, header: Header) -> Image:
    """Image rgb8 of uint8 H,W,3."""
    return ros_message(images.rgb8_image(rgb), header)


def camera_info_from(intrinsics: Intrinsics, header: Header) -> CameraInfo:
    """CameraInfo of an undistorted camera."""
    return ros_message(camera_info(intrinsics), header)


def _field(value: Any) -> Any:
    if isinstance(value, Message):
        return ros_message(value)
    if isinstance(value, list):
        return [ros_message(each) for each in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def _copied(header: Header) -> Header:
    """A header of its own."""
    return Header(stamp=Time(sec=header.stamp.sec, nanosec=header.stamp.nanosec), frame_id=header.frame_id)

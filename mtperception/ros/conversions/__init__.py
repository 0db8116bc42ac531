# SPDX-License-Identifier: Apache-2.0
"""Messages to arrays and back: pure functions, no node.

`mtperception.messages` decodes what comes in and makes what goes out: bags are read and written there as well, without
ROS. What is left here is to fill rclpy's messages, or to lay out their bytes.
"""

from mtperception.messages import (
    RefusedCameraInfoError,
    RefusedImageError,
    RefusedMessageError,
    compressed_to_rgb,
    image_to_rgb,
    intrinsics_from,
)
from mtperception.ros.conversions.messages import MESSAGE_TYPES, camera_info_from, rgb8_image, ros_message
from mtperception.ros.conversions.serialized import serialized_image

__all__ = [
    'MESSAGE_TYPES',
    'RefusedCameraInfoError',
    'RefusedImageError',
    'RefusedMessageError',
    'camera_info_from',
    'compressed_to_rgb',
    'image_to_rgb',
    'intrinsics_from',
    'rgb8_image',
    'ros_message',
    'serialized_image',
]

# SPDX-License-Identifier: Apache-2.0
"""From arrays to messages of rclpy: pure functions, no node.

`mtperception.messages` decodes what comes in and makes what goes out: bags are read and written there as well, without
ROS. What is left here is to fill rclpy's messages, or to lay out their bytes.
"""

from mtperception.ros.conversions.messages import MESSAGE_TYPES, camera_info_from, rgb8_image, ros_message
from mtperception.ros.conversions.serialized import serialized_image

__all__ = [
    'MESSAGE_TYPES',
    'camera_info_from',
    'rgb8_image',
    'ros_message',
    'serialized_image',
]

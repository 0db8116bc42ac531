# SPDX-License-Identifier: Apache-2.0
"""What the nodes speak, without ROS: from messages to arrays, and from predictions to what messages hold.

Only fields are read, so messages may be rclpy's or a bag reader's. Each one is checked and, if need be, refused with a
`RefusedMessageError`, which names what was found and what was expected and carries a short key to count by. What goes
out is plain data: the node turns it into messages of rclpy, and a recording made without ROS is written from the same.
"""

from mtperception.messages.compressed import compressed_to_rgb, upright_rgb
from mtperception.messages.depth_decoding import compressed_to_depth, image_to_depth
from mtperception.messages.errors import RefusedCameraInfoError, RefusedImageError, RefusedMessageError
from mtperception.messages.image_decoding import image_to_rgb
from mtperception.messages.intrinsics import intrinsics_from
from mtperception.messages.label_decoding import compressed_to_labels, image_to_bytes, image_to_labels

__all__ = [
    'RefusedCameraInfoError',
    'RefusedImageError',
    'RefusedMessageError',
    'compressed_to_depth',
    'compressed_to_labels',
    'compressed_to_rgb',
    'image_to_bytes',
    'image_to_depth',
    'image_to_labels',
    'image_to_rgb',
    'intrinsics_from',
    'upright_rgb',
]

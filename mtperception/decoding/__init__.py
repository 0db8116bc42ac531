"""From ROS messages to arrays, without ROS: only fields are read, so the messages may be rclpy's or a bag reader's.

Every message is checked and, if need be, refused with a `RefusedMessageError`, which names what was found and what was
expected and carries a short key to count by.
"""

from mtperception.decoding.camera_info import intrinsics_from
from mtperception.decoding.compressed import check_complete, compressed_to_rgb
from mtperception.decoding.depth import compressed_to_depth, image_to_depth
from mtperception.decoding.errors import RefusedCameraInfoError, RefusedImageError, RefusedMessageError
from mtperception.decoding.images import image_to_rgb
from mtperception.decoding.labels import compressed_to_labels, image_to_labels

__all__ = [
    'RefusedCameraInfoError',
    'RefusedImageError',
    'RefusedMessageError',
    'check_complete',
    'compressed_to_depth',
    'compressed_to_labels',
    'compressed_to_rgb',
    'image_to_depth',
    'image_to_labels',
    'image_to_rgb',
    'intrinsics_from',
]

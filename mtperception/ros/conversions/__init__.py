"""Messages to arrays and back: pure functions, no node.

What comes in is checked and refused with a `RefusedMessageError`, which names what was found and what was expected and
carries a short key to count by. What goes out carries the header it is given.
"""

from mtperception.ros.conversions.camera_info import camera_info_from, intrinsics_from
from mtperception.ros.conversions.compressed_in import compressed_to_rgb
from mtperception.ros.conversions.errors import RefusedCameraInfoError, RefusedImageError, RefusedMessageError
from mtperception.ros.conversions.images_in import image_to_rgb
from mtperception.ros.conversions.images_out import (
    DEPTH_IMAGES,
    depth_image_16uc1,
    depth_image_32fc1,
    jpeg_image,
    mono8_image,
    normals_image,
    rgb8_image,
)
from mtperception.ros.conversions.point_cloud import point_cloud

__all__ = [
    'DEPTH_IMAGES',
    'RefusedCameraInfoError',
    'RefusedImageError',
    'RefusedMessageError',
    'camera_info_from',
    'compressed_to_rgb',
    'depth_image_16uc1',
    'depth_image_32fc1',
    'image_to_rgb',
    'intrinsics_from',
    'jpeg_image',
    'mono8_image',
    'normals_image',
    'point_cloud',
    'rgb8_image',
]

"""Messages to arrays and back: pure functions, no node.

What comes in is decoded by `mtperception.decoding`, which is without ROS because bags are read there as well. What goes
out carries the header it is given.
"""

from mtperception.decoding import (
    RefusedCameraInfoError,
    RefusedImageError,
    RefusedMessageError,
    compressed_to_rgb,
    image_to_rgb,
    intrinsics_from,
)
from mtperception.ros.conversions.camera_info import camera_info_from
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

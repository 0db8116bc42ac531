# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/CameraInfo to Intrinsics, by its fields."""

import math

from mtperception.messages.errors import RefusedCameraInfoError
from mtperception.messages.protocols import CameraInfo
from mtperception.types import Intrinsics

MIN_FOCAL_LENGTH = 0.04
"""In widths, or heights, of the image: a pinhole camera with less would see more than 170 degrees."""


def intrinsics_from(msg: CameraInfo, width: int, height: int) -> Intrinsics:
    """Intrinsics for the images of `width` x `height` that come with a camera_info.

    Of P (the rectified camera) when its fx is positive, else of K; reduced to the region of interest and the binning
    in the message as image_geometry does it. A camera_info of another size but the same aspect is scaled. One with
    width and height 0 and no region of interest is of the size of the images: some drivers never fill these fields,
    and image_geometry does not read them. Distortion is not regarded.

    Raises:
        RefusedCameraInfoError: if the message has no usable size, focal length or principal point (an uncalibrated
            camera has zeros, or a focal length of 1), or is for images of another aspect.
    """
    captured = _captured(msg, width, height)
    found = f'found a camera_info for {captured.width}x{captured.height}'
    if min(captured.width, captured.height) < 1:
        raise RefusedCameraInfoError(
            f'{found} (width {msg.width}, height {msg.height}, region of interest {msg.roi.width}x{msg.roi.height}, '
            f'binning {msg.binning_x}x{msg.binning_y}), expected at least one pixel: does the driver fill these fields?'
        )
    fitted = captured.for_image(width, height)
    if fitted is None:
        raise RefusedCameraInfoError(f'{found}, expected the aspect of the images, which are {width}x{height}')
    _check(fitted)
    return fitted


def _captured(msg: CameraInfo, image_width: int, image_height: int) -> Intrinsics:
    """The camera after region of interest and binning, unchecked.

    The offset is subtracted, then everything is divided by the binning: the principal point as well, without the half
    pixel that `Intrinsics.resized` minds, because image_geometry's PinholeCameraModel does so and the consumers of our
    outputs use that.
    """
    columns, rows = msg.binning_x or 1, msg.binning_y or 1
    fx, cx, fy, cy = (msg.p[i] for i in (0, 2, 5, 6)) if msg.p[0] > 0 else (msg.k[i] for i in (0, 2, 4, 5))
    left, top, width, height = 0, 0, msg.width, msg.height
    if msg.roi.width or msg.roi.height:  # both zero: the full image
        left, top, width, height = msg.roi.x_offset, msg.roi.y_offset, msg.roi.width, msg.roi.height
    elif not (width or height):
        width, height = image_width * columns, image_height * rows
    return Intrinsics(
        fx=float(fx) / columns,
        fy=float(fy) / rows,
        cx=(float(cx) - left) / columns,
        cy=(float(cy) - top) / rows,
        width=width // columns,
        height=height // rows,
    )


def _check(camera: Intrinsics) -> None:
    values = (camera.fx, camera.fy, camera.cx, camera.cy)
    if not all(map(math.isfinite, values)) or min(camera.fx, camera.fy) <= 0:
        fx, fy, cx, cy = values
        raise RefusedCameraInfoError(
            f'found fx {fx:g}, fy {fy:g}, cx {cx:g}, cy {cy:g}, expected finite numbers with fx and fy above 0: '
            'is the camera calibrated?'
        )
    if camera.fx < MIN_FOCAL_LENGTH * camera.width or camera.fy < MIN_FOCAL_LENGTH * camera.height:
        raise RefusedCameraInfoError(
            f'found fx {camera.fx:g} and fy {camera.fy:g} for {camera.width}x{camera.height} pixels, a view of nearly '
            '180 degrees, expected a focal length in pixels: is K the identity, a placeholder?'
        )

# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs/Image to RGB, by its fields."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from mtperception.messages.errors import RefusedImageError
from mtperception.messages.protocols import Image
from mtperception.types import MAX_IMAGE_PIXELS, MAX_IMAGE_SIDE


@dataclass(frozen=True)
class Decoder:
    """How the bytes of one encoding become RGB.

    Attributes:
        bytes_per_pixel: in a row of the data.
        to_rgb: from uint8 rows,W,bytes_per_pixel (rows may be padded, so not contiguous) and `is_bigendian` to a
            contiguous uint8 H,W,3.
        cell: width and height of which those of the image must be multiples.
        min_side: least width and height.
        height_scaling: rows of data per row of the image.
    """

    bytes_per_pixel: int
    to_rgb: Callable[[np.ndarray, bool], np.ndarray]
    cell: tuple[int, int] = (1, 1)
    min_side: int = 1
    height_scaling: float = 1.0


def image_to_rgb(msg: Image) -> np.ndarray:
    """uint8 H,W,3, RGB, contiguous, of an image in any of the `DECODERS`.

    Rows may be padded (`step` larger than needed). Depths and endiannesses are those the message states; gray is
    repeated in the three channels, alpha is dropped. An unpadded rgb8 image is not copied: the result is then a
    read-only view of the message's data.

    Raises:
        RefusedImageError: of kind `encoding`, `size`, `step` or `data`.
    """
    decoder = DECODERS.get(msg.encoding)
    if decoder is None:
        found = f'{msg.encoding[:40]!r} of {len(msg.encoding)} characters'
        raise RefusedImageError('encoding', f'found encoding {found}, expected one of {", ".join(DECODERS)}')
    check_size(msg.width, msg.height)
    _check_cell(msg, decoder)
    rows = int(msg.height * decoder.height_scaling)
    row_bytes = msg.width * decoder.bytes_per_pixel
    check_bytes(msg, rows, row_bytes)
    pixels = np.frombuffer(msg.data, np.uint8).reshape(rows, msg.step)[:, :row_bytes]
    return decoder.to_rgb(pixels.reshape(rows, msg.width, decoder.bytes_per_pixel), bool(msg.is_bigendian))


def check_size(width: int, height: int) -> None:
    """Refuse an image without pixels or with too many.

    Raises:
        RefusedImageError: of kind `size`.
    """
    if min(width, height) < 1 or max(width, height) > MAX_IMAGE_SIDE or width * height > MAX_IMAGE_PIXELS:
        advice = ': reduce the images before' if min(width, height) > 0 else ''
        raise RefusedImageError(
            'size',
            f'found {width}x{height} pixels, expected 1 to {MAX_IMAGE_PIXELS} pixels (8192x8192) and no side over '
            f'{MAX_IMAGE_SIDE}{advice}',
        )


def _check_cell(msg: Image, decoder: Decoder) -> None:
    across, down = decoder.cell
    if msg.width % across or msg.height % down:
        raise RefusedImageError(
            'size', f'found {msg.encoding} of {msg.width}x{msg.height}, expected multiples of {across}x{down}'
        )
    if min(msg.width, msg.height) < decoder.min_side:
        least = decoder.min_side
        raise RefusedImageError(
            'size', f'found {msg.encoding} of {msg.width}x{msg.height}, expected at least {least}x{least}'
        )


def check_bytes(msg: Image, rows: int, row_bytes: int) -> None:
    """Refuse an image whose data are not so many rows of its step, each with at least so many bytes.

    Raises:
        RefusedImageError: of kind `step` or `data`.
    """
    if msg.step < row_bytes:
        raise RefusedImageError(
            'step', f'found step {msg.step}, expected {row_bytes} or more for {msg.width} pixels of {msg.encoding}'
        )
    if len(msg.data) != rows * msg.step:
        raise RefusedImageError(
            'data', f'found {len(msg.data)} bytes, expected {rows * msg.step}: {rows} rows of step {msg.step}'
        )


def _rgb(pixels: np.ndarray, _is_bigendian: bool) -> np.ndarray:
    rgb = np.ascontiguousarray(pixels)
    rgb.flags.writeable = False  # without padding this is the memory of the message, which others may hold too
    return rgb


def _high_bytes(code: int | None) -> Callable[[np.ndarray, bool], np.ndarray]:
    """Decoder function for an encoding of 16 bits: the high bytes, which OpenCV converts unless they are RGB."""

    def to_rgb(pixels: np.ndarray, is_bigendian: bool) -> np.ndarray:
        high_bytes = np.ascontiguousarray(pixels[..., 0 if is_bigendian else 1 :: 2])
        return high_bytes if code is None else cv2.cvtColor(high_bytes, code)

    return to_rgb


def _nv24(pixels: np.ndarray, _is_bigendian: bool) -> np.ndarray:
    """A plane of Y, then U and V of every pixel in turn: rows of twice as many bytes, padding and all."""
    height, width, step = pixels.shape[0] // 3, pixels.shape[1], pixels.strides[0]
    luma = np.maximum(pixels[:height, :, 0], 16)  # below black is black, as OpenCV has it in its conversions
    chroma = np.lib.stride_tricks.as_strided(pixels[height:], (height, width, 2), (2 * step, 2, 1), writeable=False)
    return cv2.transform(np.dstack([luma, chroma]), BT601_TO_RGB)


def _converted(code: int) -> Callable[[np.ndarray, bool], np.ndarray]:
    """Decoder function for an encoding of single bytes that OpenCV converts."""

    def to_rgb(pixels: np.ndarray, _is_bigendian: bool) -> np.ndarray:
        return cv2.cvtColor(pixels, code)

    return to_rgb


def _bayer(code: int) -> Decoder:
    """Decoder for a mosaic; OpenCV has no neighbours to interpolate from below 3x3 and returns black."""
    return Decoder(1, _converted(code), min_side=3)


def _bayer16(code: int) -> Decoder:
    """Decoder for a mosaic of 16 bits."""
    return Decoder(2, _high_bytes(code), min_side=3)


BT601_TO_RGB = np.array(
    [
        [1.164, 0.0, 1.596, -16 * 1.164 - 128 * 1.596],
        [1.164, -0.391, -0.813, -16 * 1.164 + 128 * (0.391 + 0.813)],
        [1.164, 2.018, 0.0, -16 * 1.164 - 128 * 2.018],
    ],
    np.float32,
)
"""From Y, U, V of limited range and 1 (ITU-R BT.601, eight bits): the numbers of OpenCV's own conversions."""
_MONO8 = Decoder(1, _converted(cv2.COLOR_GRAY2RGB))
_BGR8 = Decoder(3, _converted(cv2.COLOR_BGR2RGB))
_BGRA8 = Decoder(4, _converted(cv2.COLOR_BGRA2RGB))
_UYVY = Decoder(2, _converted(cv2.COLOR_YUV2RGB_UYVY), cell=(2, 1))
_YUYV = Decoder(2, _converted(cv2.COLOR_YUV2RGB_YUYV), cell=(2, 1))

DECODERS = {
    'rgb8': Decoder(3, _rgb),
    'bgr8': _BGR8,
    'rgba8': Decoder(4, _converted(cv2.COLOR_RGBA2RGB)),
    'bgra8': _BGRA8,
    'mono8': _MONO8,
    '8UC1': _MONO8,
    '8UC3': _BGR8,
    '8UC4': _BGRA8,
    'mono16': Decoder(2, _high_bytes(cv2.COLOR_GRAY2RGB)),
    'rgb16': Decoder(6, _high_bytes(None)),
    'bgr16': Decoder(6, _high_bytes(cv2.COLOR_BGR2RGB)),
    # ROS names a mosaic by the first two pixels of its first row and of its second. So do these aliases of OpenCV's;
    # its older names go by the second row (COLOR_BayerBG2RGB is RGGB).
    'bayer_rggb8': _bayer(cv2.COLOR_BayerRGGB2RGB),
    'bayer_bggr8': _bayer(cv2.COLOR_BayerBGGR2RGB),
    'bayer_gbrg8': _bayer(cv2.COLOR_BayerGBRG2RGB),
    'bayer_grbg8': _bayer(cv2.COLOR_BayerGRBG2RGB),
    'bayer_rggb16': _bayer16(cv2.COLOR_BayerRGGB2RGB),
    'bayer_bggr16': _bayer16(cv2.COLOR_BayerBGGR2RGB),
    'bayer_gbrg16': _bayer16(cv2.COLOR_BayerGBRG2RGB),
    'bayer_grbg16': _bayer16(cv2.COLOR_BayerGRBG2RGB),
    # yuv422 and yuv422_yuy2 are the older names. All YUV is BT.601 of limited range, as cv_bridge reads it.
    'uyvy': _UYVY,
    'yuv422': _UYVY,
    'yuyv': _YUYV,
    'yuv422_yuy2': _YUYV,
    # A plane of Y, then one of half as many rows with V and U in turn, both of the same step: 3/2 height x step bytes.
    # That is V4L2's NV21, to which sensor_msgs refers; its getHeightScaling (common_interfaces#264) says the same.
    'nv21': Decoder(1, _converted(cv2.COLOR_YUV2RGB_NV21), cell=(2, 2), height_scaling=1.5),
    # Likewise with U before V; and with U and V of every pixel: V4L2's NV12 and NV24.
    'nv12': Decoder(1, _converted(cv2.COLOR_YUV2RGB_NV12), cell=(2, 2), height_scaling=1.5),
    'nv24': Decoder(1, _nv24, height_scaling=3.0),
}
"""By `Image.encoding`."""

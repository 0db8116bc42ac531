# SPDX-License-Identifier: Apache-2.0
"""Pinhole geometry: depth to points, depth to normals, and the scale that a change of camera puts on a learnt depth."""

from functools import lru_cache

import cv2
import numpy as np

from mtperception.errors import InputError
from mtperception.types import Intrinsics

NEAREST = 1e-3
"""Metres: what is nearer to the camera than this is not in front of it."""


def is_valid(depth: np.ndarray) -> np.ndarray:
    """bool, same shape: where a depth is a distance. 0, negative, NaN and infinity mean that there is none."""
    return (depth > 0) & (depth < np.inf)


def fill_holes(depth: np.ndarray) -> np.ndarray:
    """float H,W, metres: the map with each pixel that is not `is_valid` at the depth of the nearest one that is.

    Without any valid pixel, the map as it is.
    """
    valid = is_valid(depth)
    if valid.all() or not valid.any():
        return depth
    _, nearest = cv2.distanceTransformWithLabels(
        (~valid).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    depths = np.zeros(nearest.max() + 1, depth.dtype)
    depths[nearest[valid]] = depth[valid]
    return depths[nearest]


def back_project(depth: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
    """Points in the camera's optical frame (x right, y down, z forward), organised like the image.

    Args:
        depth: float32 H,W, metres along the optical axis; what is not `is_valid` is left out.
        intrinsics: the camera of exactly this H x W.

    Returns:
        float32 H,W,3, metres; NaN where depth is invalid.

    Raises:
        ValueError: if the intrinsics are those of another size.
    """
    _check_size(depth, intrinsics)
    z = np.where(is_valid(depth), depth, np.float32(np.nan))
    x, y = pixel_rays(intrinsics)
    points = np.empty((*z.shape, 3), np.float32)
    np.multiply(z, x, out=points[..., 0])
    np.multiply(z, y[:, None], out=points[..., 1])
    points[..., 2] = z
    return points


def project(
    points: np.ndarray, T_camera_world: np.ndarray, intrinsics: Intrinsics
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Which points lie in an image, and where; what is before them is not asked for.

    Args:
        points: float N,3, metres in the world.
        T_camera_world: float 4,4, to the camera's optical frame.
        intrinsics: the camera.

    Returns:
        Of the M points in front of the camera whose nearest pixel is in its image: position among `points`, row and
        column (int M each), and distance along the optical axis (float M, metres).
    """
    x, y, z = T_camera_world[:3, :3] @ points.T + T_camera_world[:3, 3:]
    is_ahead = z > NEAREST
    z = np.where(is_ahead, z, z.dtype.type(1))
    columns, rows = np.rint(x / z * intrinsics.fx + intrinsics.cx), np.rint(y / z * intrinsics.fy + intrinsics.cy)
    is_inside = (columns >= 0) & (columns < intrinsics.width) & (rows >= 0) & (rows < intrinsics.height)
    index = np.flatnonzero(is_ahead & is_inside)
    return index, rows[index].astype(np.intp), columns[index].astype(np.intp), z[index]


@lru_cache(maxsize=8)
def pixel_rays(intrinsics: Intrinsics) -> tuple[np.ndarray, np.ndarray]:
    """The rays (x, y, 1) through all pixel centres, as x for each column and y for each row.

    Returns:
        float32 W and float32 H, read-only: they are shared between callers.
    """
    x = (np.arange(intrinsics.width) - intrinsics.cx) / intrinsics.fx
    y = (np.arange(intrinsics.height) - intrinsics.cy) / intrinsics.fy
    rays = x.astype(np.float32), y.astype(np.float32)
    for ray in rays:
        ray.flags.writeable = False
    return rays


def focal_scale(fx: float, image_width: int, network_width: int, training_fx: float) -> float:
    """What to multiply a learnt depth by when another camera looks.

    A network judges distance by size in pixels, and so has the focal length of its training images built in. Seen by a
    camera with twice that focal length, everything is twice as large and comes out at half its distance.

    Args:
        fx: focal length of the camera, pixels, at `image_width`.
        image_width: width of the camera's image.
        network_width: width of that image once reduced for the network.
        training_fx: focal length of the training images, pixels, at the size the network was trained at.

    Raises:
        ValueError: if one of them is not positive.
    """
    if min(fx, image_width, network_width, training_fx) <= 0:
        raise InputError(
            f'focal scale of fx {fx}, image width {image_width}, network width {network_width}, '
            f'training fx {training_fx}: expected positive numbers'
        )
    return fx * network_width / image_width / training_fx


def depth_edges(depth: np.ndarray, threshold: float) -> np.ndarray:
    """Pixels at a step of depth, where a network's or a sensor's value lies between two surfaces, on neither.

    Args:
        depth: float32 H,W, metres along the optical axis; what is not `is_valid` makes no edge.
        threshold: a pixel is at a step if the farthest of the 3 x 3 pixels around it is more than (1 + threshold)
            times as far as the nearest; 0: none is.

    Returns:
        bool H,W.

    Raises:
        ValueError: for a negative threshold.
    """
    if threshold < 0:
        raise InputError(f'depth edge threshold {threshold}: expected 0 (off) or more')
    if threshold == 0:
        return np.zeros(depth.shape, bool)
    valid = is_valid(depth)
    window = np.ones((3, 3), np.uint8)
    # Outside of the image OpenCV takes what changes nothing: the largest value to erode, the smallest to dilate.
    nearest = cv2.erode(np.where(valid, depth, np.float32(np.inf)), window)
    farthest = cv2.dilate(np.where(valid, depth, np.float32(0)), window)
    with np.errstate(over='ignore'):  # of the largest value, where nothing near is valid
        return valid & (farthest > np.float32(1 + threshold) * nearest)


def tilt_normals(normals: np.ndarray, x: float, y: float) -> np.ndarray:
    """Normals of learnt planes as another camera has them, not yet of unit length.

    Args:
        normals: float32 H,W,3, as learnt for the training camera.
        x: the camera's focal length over the training camera's, both in pixels as the network sees images.
        y: likewise along the columns.

    Returns:
        float32 H,W,3: (x nx, y ny, nz). For x = y = s, which multiplies depth by s, that is (nx, ny, nz / s) times s.
    """
    return cv2.multiply(normals, (x, y, 1, 1))


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """float32 H,W,3: vectors at length 1; zero stays zero."""
    length = np.sqrt(np.einsum('hwc,hwc->hw', vectors, vectors))
    return vectors / np.maximum(length, np.finfo(np.float32).tiny)[..., None]


def depth_in_millimeters(depth: np.ndarray) -> np.ndarray:
    """uint16 H,W: millimetres to the nearest, 0 = invalid or above 65.535 m (REP 118), of float32 H,W in metres.

    Args:
        depth: metres along the optical axis; 0, negative and not finite mean invalid.
    """
    return depth_in_units(depth, 1000)


def depth_in_units(depth: np.ndarray, per_meter: int) -> np.ndarray:
    """uint16 H,W: depth in fractions of a metre to the nearest, 0 = invalid or too far for 16 bits.

    Args:
        depth: float32 H,W, metres along the optical axis; 0, negative and not finite mean invalid.
        per_meter: units of a metre.
    """
    units = np.rint(depth * np.float32(per_meter))
    # Written so that NaN is invalid too.
    units[~((units > 0) & (depth <= np.float32(65535 / per_meter)))] = 0
    return units.astype(np.uint16)


def normals_from_depth(depth: np.ndarray, intrinsics: Intrinsics, window: int = 9) -> np.ndarray:
    """Normals of the planes that best fit the depth around each pixel.

    A plane g.P = 1 seen along the ray (x, y, 1) has the inverse depth g.(x, y, 1), which is linear in the pixel's
    coordinates: the fit is a linear regression of inverse depth, made of box filters only (Badino et al., ICRA 2011,
    in pixel coordinates). It is exact on planes; across an edge it mixes the two sides.

    Args:
        depth: float32 H,W, metres along the optical axis; what is not `is_valid` is left out.
        intrinsics: the camera of exactly this H x W.
        window: odd number of pixels, 3 or more: wide enough to average out the noise of the depth.

    Returns:
        float32 H,W,3, unit vectors in the optical frame that point to the camera's side of the plane; 0 where depth is
        invalid or fewer pixels of the window are valid than a corner of the image leaves of it.

    Raises:
        ValueError: if the intrinsics are those of another size, or the window is even or too small.
    """
    _check_size(depth, intrinsics)
    if window < 3 or window % 2 == 0:
        raise InputError(f'window of {window} pixels: expected an odd number from 3 on')
    valid = is_valid(depth)
    inverse = np.zeros(depth.shape, np.float32)
    np.divide(1, depth, out=inverse, where=valid)
    count, value, per_column, per_row = _fit_planes(inverse, valid.astype(np.float32), window)

    enough = valid & (count > ((window + 1) // 2) ** 2 - 0.5)
    x, y = pixel_rays(intrinsics)
    gx, gy = per_column * intrinsics.fx, per_row * intrinsics.fy
    gradient = cv2.merge([gx, gy, value - gx * x - gy * y[:, None]])
    length = np.sqrt(np.einsum('hwc,hwc->hw', gradient, gradient))
    scale = np.zeros(depth.shape, np.float32)
    np.divide(-1, length, out=scale, where=enough & (length > 0))
    return gradient * scale[..., None]


def _fit_planes(values: np.ndarray, weights: np.ndarray, window: int) -> tuple[np.ndarray, ...]:
    """Regression value + per_column * du + per_row * dv of `values` over a window around each pixel.

    Offsets count from the window's centre: from the image's corner, single precision would not do.

    Args:
        values: float32 H,W, 0 where the weight is 0.
        weights: float32 H,W, 1 to count a pixel, 0 to leave it out.
        window: odd number of pixels.

    Returns:
        float32 H,W each: sum of weights, value at the centre, slope along the row, slope along the column. Slopes are 0
        where the window does not settle them.
    """
    ones = np.ones(window, np.float32)
    ramp = np.arange(window, dtype=np.float32) - window // 2

    def moment(image: np.ndarray, along_row: np.ndarray, along_column: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(image, cv2.CV_32F, along_row, along_column, borderType=cv2.BORDER_CONSTANT)

    count = np.maximum(moment(weights, ones, ones), 1)
    mean_u, mean_v = moment(weights, ramp, ones) / count, moment(weights, ones, ramp) / count
    mean = moment(values, ones, ones) / count
    uu = moment(weights, ramp**2, ones) / count - mean_u**2
    vv = moment(weights, ones, ramp**2) / count - mean_v**2
    uv = moment(weights, ramp, ramp) / count - mean_u * mean_v
    u_value = moment(values, ramp, ones) / count - mean_u * mean
    v_value = moment(values, ones, ramp) / count - mean_v * mean

    determinant = uu * vv - uv**2
    settled = determinant > 1e-3
    reciprocal = np.divide(1, determinant, out=np.zeros_like(determinant), where=settled)
    per_column = (vv * u_value - uv * v_value) * reciprocal
    per_row = (uu * v_value - uv * u_value) * reciprocal
    return count, mean - per_column * mean_u - per_row * mean_v, per_column, per_row


def _check_size(depth: np.ndarray, intrinsics: Intrinsics) -> None:
    expected = (intrinsics.height, intrinsics.width)
    if depth.shape != expected:
        raise InputError(
            f'depth of shape {depth.shape} with the intrinsics of a {intrinsics.width} x {intrinsics.height} image: '
            f'expected {expected}; use Intrinsics.resized'
        )

# SPDX-License-Identifier: Apache-2.0
"""One camera's depth as another camera sees it."""

from dataclasses import dataclass

import numpy as np

from mtperception.geometry import back_project
from mtperception.types import Intrinsics

LARGEST_FOOTPRINT = 8
"""Pixels: what a pixel covers in the other image at most, along each side. Larger is what comes very near."""


@dataclass(frozen=True)
class Warp:
    """What of one view is seen in another."""

    depth: np.ndarray
    """float32 H,W, metres along the axis of the other camera; 0 = nothing seen there."""
    source: np.ndarray
    """int32 H,W: flat index of the pixel that is seen; -1 = none."""


def warp_depth(depth: np.ndarray, camera: Intrinsics, target: Intrinsics, T_target_camera: np.ndarray) -> Warp:
    """Project each pixel's point into another camera; where several meet, the nearest is seen.

    A pixel covers in the other image what it covers in space, as if it faced that camera: so there are no gaps where
    the other image is finer or nearer. Distortion is not regarded.

    Args:
        depth: float32 h,w, metres; what is not `geometry.is_valid` is left out.
        camera: of exactly this h x w.
        target: the other camera; gives the size of the result.
        T_target_camera: float64 4,4.
    """
    flat = np.arange(depth.size, dtype=np.int32)
    points = back_project(depth, camera).reshape(-1, 3).astype(np.float64)
    points = points @ T_target_camera[:3, :3].T + T_target_camera[:3, 3]
    ahead = points[:, 2] > 0  # false where there is no depth
    flat, (x, y, z) = flat[ahead], points[ahead].T
    closer = depth.reshape(-1)[ahead] / z
    columns = _covered(target.fx * x / z + target.cx, target.fx / camera.fx * closer, target.width)
    rows = _covered(target.fy * y / z + target.cy, target.fy / camera.fy * closer, target.height)
    return _nearest(columns, rows, z.astype(np.float32), flat, target)


def _covered(centre: np.ndarray, size: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """First pixel that each interval covers the centre of, and how many, inside 0..length - 1."""
    half = np.minimum(size, LARGEST_FOOTPRINT) / 2
    first = np.ceil(np.clip(centre - half, 0, length))
    end = np.ceil(np.clip(centre + half, 0, length))
    return first.astype(np.int64), (end - first).astype(np.int64)


def _nearest(
    columns: tuple[np.ndarray, np.ndarray],
    rows: tuple[np.ndarray, np.ndarray],
    z: np.ndarray,
    flat: np.ndarray,
    target: Intrinsics,
) -> Warp:
    (left, across), (top, down) = columns, rows
    at, which = [], []
    for dy in range(int(down.max(initial=0))):
        for dx in range(int(across.max(initial=0))):
            covered = np.flatnonzero((dx < across) & (dy < down))
            at.append((top[covered] + dy) * target.width + left[covered] + dx)
            which.append(covered)
    pixels = np.concatenate(at) if at else np.zeros(0, np.int64)
    seen = np.concatenate(which) if which else np.zeros(0, np.int64)
    depth = np.full(target.height * target.width, np.inf, np.float32)
    np.minimum.at(depth, pixels, z[seen])
    source = np.full(depth.size, -1, np.int32)
    front = z[seen] == depth[pixels]
    source[pixels[front]] = flat[seen[front]]
    depth[source < 0] = 0
    shape = (target.height, target.width)
    return Warp(depth.reshape(shape), source.reshape(shape))

# SPDX-License-Identifier: Apache-2.0
"""Light on the faces, computed once: a bright ceiling, a window, and what comes back from everywhere."""

from collections.abc import Sequence

import numpy as np

from mtperception.synthetic.scene import ROOM, Box, Face

_SPACING = 0.12
"""Metres between the points of a light map."""

_OFFSET = 0.01
"""Metres in front of a face where its light is computed, so that it is not in its own shadow."""


def light_maps(faces: Sequence[Face], boxes: Sequence[Box]) -> list[np.ndarray]:
    """Brightness of each face, about 1 where it is well lit.

    Args:
        faces: what is lit.
        boxes: what throws shadows.

    Returns:
        float32 h,w per face: a sample every `_SPACING` or so, at the centres of cells as in an image.
    """
    shapes = [tuple(max(2, round(extent / _SPACING)) for extent in (face.height, face.width)) for face in faces]
    sizes = [rows * columns for rows, columns in shapes]
    points = np.concatenate([_points(face, *shape) for face, shape in zip(faces, shapes, strict=True)], axis=1)
    normals = np.repeat(np.array([face.normal for face in faces], np.float32).T, sizes, axis=1)
    brightness = np.split(_brightness(points, normals, boxes), np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(brightness, shapes, strict=True)]


def _points(face: Face, rows: int, columns: int) -> np.ndarray:
    """float32 3,N: the centres of a grid of cells on a face, row by row."""
    v, u = (np.indices((rows, columns)).reshape(2, -1) + 0.5) / [[rows], [columns]]
    on_face = np.outer(face.right * face.width, u) + np.outer(face.down * face.height, v)
    return (on_face + (face.origin + _OFFSET * face.normal)[:, None]).astype(np.float32)


def _lamps() -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Small lights that stand for the large ones: position, direction, power."""
    ceiling = [(x, y, 0.96) for x in np.arange(0.1, 1, 0.2) for y in np.arange(0.125, 1, 0.25)]
    window = [(0.2, y, z) for y in (0.9, 1.4, 1.9) for z in (1.3, 1.9)]
    return [
        *((np.float32(ROOM * place), np.float32([0, 0, -1]), 0.36) for place in ceiling),
        *((np.float32(place), np.float32([1, 0, -0.3]), 0.4) for place in window),
    ]


def _brightness(points: np.ndarray, normals: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """float32 N: what arrives from all sides, and from the lamps past all boxes. Points and normals are 3,N."""
    brightness = 0.5 - 0.18 * normals[2]  # the floor lights what looks down; what looks up has the lamps
    for position, direction, power in _lamps():
        rays = position[:, None] - points
        squared = (rays**2).sum(axis=0)
        cosines = np.maximum((rays * normals).sum(axis=0), 0) * np.maximum(-direction @ rays, 0) / squared
        arriving = power * cosines / np.maximum(squared, 0.5)
        lit = np.flatnonzero(arriving > 1e-3)
        lit = lit[~_is_blocked(points[:, lit], rays[:, lit], boxes)]
        brightness[lit] += arriving[lit]
    return brightness


def _is_blocked(points: np.ndarray, rays: np.ndarray, boxes: Sequence[Box]) -> np.ndarray:
    """bool N: whether any box lies between each point and point + ray; both are 3,N."""
    blocked = np.zeros(points.shape[1], bool)
    for box in boxes:
        axes = box.axes.astype(np.float32)
        start, along = axes @ (points - box.center.astype(np.float32)[:, None]), axes @ rays
        along[np.abs(along) < 1e-9] = 1e-9
        middle, half = -start / along, (np.float32(box.size)[:, None] / 2) / np.abs(along)
        near, far = (middle - half).max(axis=0), (middle + half).min(axis=0)
        blocked |= (near < far) & (far > 0) & (near < 1)
    return blocked

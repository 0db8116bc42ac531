# SPDX-License-Identifier: Apache-2.0
"""Draws faces with a depth buffer.

Seen by a pinhole camera, the inverse depth of a plane is linear in the pixel's coordinates, and so is inverse depth
times any coordinate on the plane. All here is built from such linear functions a u + b v + c: which pixels a face
covers, which face is nearest, its exact depth, and what place of its texture a pixel shows.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from mtperception.labels import load_label_space
from mtperception.synthetic.atlas import LEVELS, Atlas
from mtperception.synthetic.scene import Face
from mtperception.types import Intrinsics, Sample

_NOTHING = 255
"""Index of a pixel that no face covers: so many faces, and no more, can look to a camera at once."""

_EDGE_ON = 1e-3
"""Metres: a face whose plane is this near to the camera is a line, and not drawn."""

_SLACK = 1e-6
"""Pixels by which faces are drawn larger, so that rounding leaves no gap between two of them."""

_SLANT = 0.6
"""How far a slanted texture is reduced: 0 for the pixel's short side on it (flickers), 1 for its long side (blurs)."""


class Renderer:
    """Draws a fixed scene from anywhere.

    Args:
        faces: what to draw; they must close the view in every direction.
        atlas: their textures.
        intrinsics: the camera.
    """

    def __init__(self, faces: Sequence[Face], atlas: Atlas, intrinsics: Intrinsics) -> None:
        self._atlas = atlas
        self._intrinsics = intrinsics
        self._origins = np.array([face.origin for face in faces])
        self._axes = np.array([(face.right, face.down, face.normal) for face in faces])
        self._sizes = np.array([(face.width, face.height) for face in faces])
        self._labels = np.array(load_label_space('nyuv2_40').indices([face.label for face in faces]), np.uint8)
        self._u = np.arange(intrinsics.width, dtype=np.float64)
        self._v = np.arange(intrinsics.height, dtype=np.float64)
        x, y = (self._u - intrinsics.cx) / intrinsics.fx, (self._v - intrinsics.cy) / intrinsics.fy
        self._log_ray = (0.5 * np.log2(1 + x**2 + y[:, None] ** 2)).astype(np.float32)

    def render(self, T_world_camera: np.ndarray) -> Sample:
        """Draw what a camera sees.

        Args:
            T_world_camera: float64 4,4, pose of the camera's optical frame.

        Returns:
            Image, labels (`nyuv2_40`) and exact depth of every pixel.
        """
        distances, functions = self._functions(T_world_camera)
        seen = np.flatnonzero(self._may_be_seen(distances, functions))
        distances, functions = distances[seen], functions[seen]
        nearest, inverse_depth = self._nearest(functions, self._sizes[seen])
        level = self._level(nearest, inverse_depth, distances, self._atlas.scales[seen])
        image = self._draw(nearest, inverse_depth, level, functions, seen)
        return Sample(
            image=_smooth_edges(image, nearest),
            labels=cv2.LUT(nearest, _table(self._labels[seen])),
            depth=1 / inverse_depth,
            intrinsics=self._intrinsics,
        )

    def _functions(self, T_world_camera: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Linear functions of all faces.

        Returns:
            F: distance of the camera from the face's plane, positive on the side it can be seen from.
            F,3,3: for inverse depth q, q times metres to the right and q times metres down on the face: a, b, c.
        """
        offsets = self._origins - T_world_camera[:3, 3]
        distances = -np.einsum('fi,fi->f', offsets, self._axes[:, 2])
        axes = self._axes @ T_world_camera[:3, :3]
        inverse = -axes[:, 2] / np.where(distances > _EDGE_ON, distances, np.inf)[:, None]
        along = np.einsum('fi,fki->fk', offsets, self._axes[:, :2])
        rays = np.concatenate([inverse[:, None], axes[:, :2] - along[..., None] * inverse[:, None]], axis=1)

        camera = self._intrinsics
        a, b = rays[..., 0] / camera.fx, rays[..., 1] / camera.fy
        return distances, np.stack([a, b, rays[..., 2] - a * camera.cx - b * camera.cy], axis=-1)

    def _may_be_seen(self, distances: np.ndarray, functions: np.ndarray) -> np.ndarray:
        """bool F: the faces that look to the camera, but those wholly outside the image for sure."""
        conditions = np.concatenate([functions[:, :1], _inside(functions, self._sizes)], axis=1)
        corner = np.array([self._u[-1], self._v[-1]])
        largest = conditions[..., 2] + np.maximum(conditions[..., :2] * corner, 0).sum(axis=-1)
        return (distances > _EDGE_ON) & (largest >= 0).all(axis=1)

    def _nearest(self, functions: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """uint8 H,W: index of the nearest face of each pixel; float32 H,W: its inverse depth."""
        shape = (len(self._v), len(self._u))
        nearest, inverse_depth = np.full(shape, _NOTHING, np.uint8), np.zeros(shape, np.float32)
        first, last = self._spans(_inside(functions, sizes))
        columns = np.arange(shape[1], dtype=np.int16)
        for index in range(len(functions)):
            rows = np.flatnonzero(first[index] <= last[index])
            if not rows.size:
                continue
            window = np.s_[rows[0] : rows[-1] + 1, first[index, rows].min() : last[index, rows].max() + 1]
            a, b, c = functions[index, 0]
            along_row, along_column = a * self._u[window[1]], b * self._v[window[0]] + c
            inverse = along_row.astype(np.float32) + along_column.astype(np.float32)[:, None]
            drawn = inverse > inverse_depth[window]
            drawn &= columns[window[1]] >= first[index, window[0], None]
            drawn &= columns[window[1]] <= last[index, window[0], None]
            mask = drawn.view(np.uint8)
            cv2.copyTo(inverse, mask, inverse_depth[window])
            cv2.copyTo(np.full(mask.shape, index, np.uint8), mask, nearest[window])
        return nearest, inverse_depth

    def _spans(self, conditions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First and last column (int16 F,H) of each row where all conditions (F,4,3) hold; last < first where none."""
        a, b, c = (part[..., None] for part in np.moveaxis(conditions, -1, 0))
        with np.errstate(divide='ignore'):
            bound = -(b * self._v + c + _SLACK * (np.abs(a) + np.abs(b))) / np.where(a == 0, 1e-300, a)
        width = len(self._u)
        first = np.where(a >= 0, bound, -np.inf).max(axis=1).clip(0, width)
        last = np.where(a < 0, bound, np.inf).min(axis=1).clip(-1, width - 1)
        return np.ceil(first).astype(np.int16), np.floor(last).astype(np.int16)

    def _level(
        self, nearest: np.ndarray, inverse_depth: np.ndarray, distances: np.ndarray, scales: np.ndarray
    ) -> np.ndarray:
        """float32 H,W: level of the atlas on which a texel is about as large as a pixel."""
        of_face = np.log2(scales.mean(axis=1) / self._intrinsics.fx) - _SLANT * np.log2(distances)
        level = cv2.log(inverse_depth)
        level *= -(1 + _SLANT) / np.log(2)
        level += (1 + _SLANT) * self._log_ray
        level += cv2.LUT(nearest, _table(of_face))
        return np.clip(level, 0, LEVELS - 1, out=level)

    def _draw(
        self, nearest: np.ndarray, inverse_depth: np.ndarray, level: np.ndarray, functions: np.ndarray, seen: np.ndarray
    ) -> np.ndarray:
        """uint8 H,W,3: the texture of the nearest faces, interpolated in the picture and between levels."""
        u, v = self._u.astype(np.float32), self._v.astype(np.float32)[:, None]
        texels = []
        for axis in range(2):
            function = self._atlas.scales[seen, axis, None] * functions[:, 1 + axis]
            function += self._atlas.corners[seen, axis, None] * functions[:, 0]
            a, b, c = (cv2.LUT(nearest, _table(part)) for part in function.T)
            texels.append((a * u + b * v + c) / inverse_depth)
        floor = level.astype(np.uint8)
        fraction = level - floor
        pictures = [self._sample(texels, whole) for whole in (floor, np.minimum(floor + 1, LEVELS - 1))]
        return cv2.blendLinear(*pictures, 1 - fraction, fraction)

    def _sample(self, texels: Sequence[np.ndarray], level: np.ndarray) -> np.ndarray:
        """uint8 H,W,3: the atlas at texels (x, y: float32 H,W) of level 0, drawn from whole levels (uint8 H,W)."""
        scale = cv2.LUT(level, _table(0.5 ** np.arange(LEVELS)))
        x, y = (
            texel * scale + cv2.LUT(level, _table(offset - 0.5))
            for texel, offset in zip(texels, self._atlas.offsets.T, strict=True)
        )
        return cv2.remap(self._atlas.texture, x, y, cv2.INTER_LINEAR)


def _inside(functions: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Linear functions F,4,3 that are all >= 0 where the ray meets the face, and meets it in front of the camera."""
    inverse, along = functions[:, :1], functions[:, 1:]
    return np.concatenate([along, sizes[..., None] * inverse - along], axis=1)


def _table(values: np.ndarray) -> np.ndarray:
    """The values as a table for `cv2.LUT`: float32, or uint8 as they are."""
    table = np.zeros(256, np.uint8 if values.dtype == np.uint8 else np.float32)
    table[: len(values)] = values
    return table


def _smooth_edges(image: np.ndarray, nearest: np.ndarray) -> np.ndarray:
    """Blur the pixels at the edges of faces, where a picture drawn at pixel centres has stairs."""
    edges = cv2.morphologyEx(nearest, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    return cv2.copyTo(cv2.GaussianBlur(image, (3, 3), 0), edges, image)

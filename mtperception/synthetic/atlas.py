# SPDX-License-Identifier: Apache-2.0
"""All faces of the scene painted, lit and packed into one picture with its reductions, for `cv2.remap` to draw from."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mtperception.synthetic.lighting import light_maps
from mtperception.synthetic.scene import Box, Face
from mtperception.synthetic.textures import MATERIALS, texels

LEVELS = 4
"""The atlas at full size, and reduced by 2, 4 and 8."""

_GRAIN = 2 ** (LEVELS - 1)
_WIDTH = 4096


@dataclass(frozen=True, eq=False)
class Atlas:
    """Painted faces. Level k is the level before at half its size, so that one place serves all levels."""

    texture: np.ndarray
    """uint8 h,w,3, RGB: level 0, and below it the others from left to right."""
    corners: np.ndarray
    """float64 F,2: x, y of the top left corner of each face in level 0, in texels from the picture's own corner."""
    scales: np.ndarray
    """float64 F,2: texels per metre along x and y of each face."""
    offsets: np.ndarray
    """float64 LEVELS,2: x, y where each level starts in `texture`."""


def build_atlas(faces: Sequence[Face], boxes: Sequence[Box], seed: int) -> Atlas:
    """Paint the faces and light them.

    Args:
        faces: what to paint.
        boxes: what throws shadows.
        seed: of the materials.
    """
    rng = np.random.default_rng(seed)
    painted = [_paint(rng, face, light) for face, light in zip(faces, light_maps(faces, boxes), strict=True)]
    places, height = _pack([picture.shape[:2] for picture in painted])
    level = np.zeros((height, _WIDTH, 3), np.uint8)
    for picture, (left, top) in zip(painted, places, strict=True):
        level[top : top + picture.shape[0], left : left + picture.shape[1]] = picture

    texture = np.zeros((height + height // 2, _WIDTH, 3), np.uint8)
    offsets = []
    left, top = 0, 0
    for _ in range(LEVELS):
        texture[top : top + level.shape[0], left : left + level.shape[1]] = level
        offsets.append((left, top))
        left, top = (0, height) if top == 0 else (left + level.shape[1], top)
        level = cv2.resize(level, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    scales = [(texels(face.width) / face.width, texels(face.height) / face.height) for face in faces]
    return Atlas(texture, np.array(places, np.float64) + _GRAIN, np.array(scales), np.array(offsets, np.float64))


def _paint(rng: np.random.Generator, face: Face, light: np.ndarray) -> np.ndarray:
    """uint8 h,w,3: a lit face with a margin, of a size that can be reduced.

    The margin repeats the border: where an interpolation or a reduction reaches over it, it meets the same face.
    """
    height, width = texels(face.height), texels(face.width)
    albedo = MATERIALS[face.material](rng, height, width)
    shade = cv2.resize(light, (width, height), interpolation=cv2.INTER_LINEAR)
    lit = (np.clip(albedo * shade[..., None], 0, 1) * 255).astype(np.uint8)
    bottom, right = (_GRAIN + -extent % _GRAIN for extent in (height, width))
    return cv2.copyMakeBorder(lit, _GRAIN, bottom, _GRAIN, right, cv2.BORDER_REPLICATE)


def _pack(sizes: Sequence[tuple[int, int]]) -> tuple[list[tuple[int, int]], int]:
    """Put rectangles (height, width) into rows, the highest first.

    Returns:
        x, y of each, and the height that all of them take.
    """
    places = [(0, 0)] * len(sizes)
    left, top, row = 0, 0, 0
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i][0]):
        height, width = sizes[index]
        if left + width > _WIDTH:
            left, top, row = 0, top + row, 0
        places[index] = (left, top)
        left, row = left + width, max(row, height)
    return places, top + row

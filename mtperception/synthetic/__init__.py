# SPDX-License-Identifier: Apache-2.0
"""A scene that the package renders itself: images with exact depth and labels.

For plumbing, timing and geometry; it says nothing about accuracy, and no model is trained or tuned on it.
"""

from functools import lru_cache

import numpy as np

from mtperception.errors import InputError
from mtperception.synthetic.atlas import Atlas, build_atlas
from mtperception.synthetic.render import Renderer
from mtperception.synthetic.scene import ROOM, Face, faces, furniture
from mtperception.synthetic.walk import PERIOD, pose
from mtperception.types import Intrinsics, Sample

LABEL_SPACE = 'nyuv2_40'
"""Of the labels."""
_MARGIN = 0.01
"""Metres from the walls."""

__all__ = ['LABEL_SPACE', 'PERIOD', 'SyntheticRoom', 'pose']


class SyntheticRoom:
    """A furnished room and a camera that walks through it.

    The world frame is in metres with z up and the floor at 0. Labels are those of `LABEL_SPACE`.

    Args:
        width: of the images, pixels.
        height: of the images, pixels.
        fx: focal length, pixels; the principal point is the image's centre. None gives every width the same view.
        seed: of the materials; the furniture stays where it is.
        fy: focal length along the columns, of images that are stretched; None: as fx.
    """

    def __init__(
        self, width: int = 640, height: int = 480, fx: float | None = None, seed: int = 0, fy: float | None = None
    ) -> None:
        fx = 525.0 * width / 640 if fx is None else fx
        self.intrinsics = Intrinsics(fx, fy or fx, (width - 1) / 2, (height - 1) / 2, width, height)
        self._renderer = Renderer(*_scene(seed), self.intrinsics)

    def frame(self, seconds: float) -> Sample:
        """What the camera sees at a time of its walk, which starts again after `PERIOD` seconds."""
        return self.render(pose(seconds))

    def render(self, T_world_camera: np.ndarray) -> Sample:
        """What a camera sees from a pose inside the room.

        Args:
            T_world_camera: float64 4,4, pose of the camera's optical frame.

        Raises:
            ValueError: if the camera is not inside the room.
        """
        position = T_world_camera[:3, 3]
        if not ((position > _MARGIN) & (position < ROOM - _MARGIN)).all():
            raise InputError(f'camera at {position}: expected a place in the room, between (0, 0, 0) and {ROOM} m')
        return self._renderer.render(T_world_camera)


@lru_cache(maxsize=2)
def _scene(seed: int) -> tuple[list[Face], Atlas]:
    boxes = furniture()
    rectangles = faces(boxes)
    return rectangles, build_atlas(rectangles, boxes, seed)

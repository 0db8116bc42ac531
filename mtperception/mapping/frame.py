# SPDX-License-Identifier: Apache-2.0
"""What a map is made of."""

from dataclasses import dataclass

import numpy as np

from mtperception.errors import InputError
from mtperception.labels import IGNORE_INDEX
from mtperception.types import Intrinsics


@dataclass(frozen=True)
class MapFrame:
    """One view with its pose. All maps have the same height and width."""

    T_world_camera: np.ndarray
    """float64 4,4: pose of the camera's optical frame."""
    intrinsics: Intrinsics
    """Camera for images of exactly this size."""
    depth: np.ndarray
    """float32 H,W: metres along the optical axis, 0 = invalid."""
    labels: np.ndarray
    """uint8 H,W: class index, 255 = unknown."""
    confidence: np.ndarray
    """uint8 H,W: probability of that class, 0..255."""
    image: np.ndarray | None = None
    """uint8 H,W,3, RGB; None leaves the map without colours of its own."""
    depth_confidence: np.ndarray | None = None
    """uint8 H,W: how likely depth is right, 0..255; None if nobody says."""

    def check(self, num_classes: int) -> None:
        """Raise InputError for maps of different sizes, and for a label that is none of C classes."""
        size = (self.intrinsics.height, self.intrinsics.width)
        maps = (self.depth, self.labels, self.confidence, self.image)
        found = {map_.shape[:2] for map_ in maps if map_ is not None}
        if found != {size}:
            raise InputError(f'maps of {sorted(found)} with a camera of {size}: expected one height and width')
        indices = np.flatnonzero(np.bincount(self.labels.ravel(), minlength=256)[num_classes:IGNORE_INDEX])
        if len(indices):
            raise InputError(
                f'label index {num_classes + indices[0]}: expected 0 to {num_classes - 1}, or {IGNORE_INDEX} for '
                'unknown: check label_space and label_offset'
            )

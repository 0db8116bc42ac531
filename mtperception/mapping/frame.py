# SPDX-License-Identifier: Apache-2.0
"""What a map is made of."""

from dataclasses import dataclass

import numpy as np

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
    probabilities: np.ndarray | None = None
    """float32 C,h,w: probability of every class, at any resolution; None: that of `labels` is `confidence`, and the
    others share the rest."""

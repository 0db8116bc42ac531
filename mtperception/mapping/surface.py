# SPDX-License-Identifier: Apache-2.0
"""The surface of a map."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Surface:
    """A triangle mesh with what is known at its vertices."""

    vertices: np.ndarray
    """float32 V,3, metres in the world frame."""
    triangles: np.ndarray
    """int32 T,3."""
    normals: np.ndarray
    """float32 V,3."""
    colors: np.ndarray
    """uint8 V,3, RGB: what the cameras saw."""
    labels: np.ndarray
    """uint8 V: the most likely class; 255 where no view knew one."""
    confidence: np.ndarray
    """float32 V: its probability, 0..1; 0 where no view knew one."""


NO_SURFACE = Surface(
    np.zeros((0, 3), np.float32),
    np.zeros((0, 3), np.int32),
    np.zeros((0, 3), np.float32),
    np.zeros((0, 3), np.uint8),
    np.zeros(0, np.uint8),
    np.zeros(0, np.float32),
)
"""The surface of an empty map."""

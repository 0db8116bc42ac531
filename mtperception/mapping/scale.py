# SPDX-License-Identifier: Apache-2.0
"""The scale of depth from a known height of the camera: the floor's plane is that far below it."""

import numpy as np

from mtperception.errors import InputError
from mtperception.geometry import is_valid, pixel_rays
from mtperception.labels import LabelSpace
from mtperception.types import Intrinsics

FLOOR_CLASSES = ('floor', 'road', 'ground')
"""What a camera stands on: the first of these that a label space has."""
MIN_SHARE = 0.02
"""Smallest share of the image's pixels that must be floor."""
MIN_INLIERS = 0.5
"""Smallest share of the floor's pixels that must lie on one plane."""
TOLERANCE = 0.05
"""Largest relative difference of inverse depth between a pixel of the plane and the plane."""
ROUNDS = 3
CANDIDATES, SAMPLED = 64, 512
"""Planes that are tried, and pixels that each is tried on."""
STRIDE = 4
"""Pixels that are looked at, in both directions: planes need few."""
MAX_FACTOR = 5.0
"""A correction by more than this, either way, is taken for a fault."""
SMOOTHING = 0.1
"""Share of a new measurement in the factor."""


def plane_distance(depth: np.ndarray, mask: np.ndarray, intrinsics: Intrinsics) -> float | None:
    """Metres from the camera to the plane that best fits the depth of some pixels.

    A plane g.P = 1 seen along the ray r has the inverse depth g.r, so g is a linear regression over the pixels of the
    plane that most of them lie on.

    Args:
        depth: float32 H,W, metres along the optical axis; what is not `is_valid` is left out.
        mask: bool H,W: the pixels that may belong to the plane.
        intrinsics: of exactly this size.

    Returns:
        1 / |g|; None if there are too few pixels or most of them lie on no one plane.
    """
    used = (mask & is_valid(depth))[::STRIDE, ::STRIDE]
    if used.sum() < MIN_SHARE * used.size:
        return None
    x, y = pixel_rays(intrinsics)
    rows, columns = np.nonzero(used)
    rays = np.stack([x[::STRIDE][columns], y[::STRIDE][rows], np.ones(len(rows), np.float32)], axis=1).astype(float)
    inverse = 1 / depth[::STRIDE, ::STRIDE][rows, columns].astype(float)
    gradient = _largest_plane(rays, inverse)
    for _ in range(ROUNDS):
        fits = np.abs(rays @ gradient - inverse) <= TOLERANCE * inverse
        if fits.mean() < MIN_INLIERS:
            return None
        gradient = np.linalg.lstsq(rays[fits], inverse[fits], rcond=None)[0]
    return float(1 / np.linalg.norm(gradient))


def _largest_plane(rays: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """float64 3: of planes through three pixels each, the one that most pixels lie on (RANSAC; always the same ones).

    Args:
        rays: float64 N,3, with z = 1.
        inverse: float64 N, of the depth.
    """
    generator = np.random.default_rng(0)
    triples = generator.integers(len(rays), size=(CANDIDATES, 3))
    corners = rays[triples]
    apart = np.abs(np.linalg.det(corners)) > 1e-6  # three pixels in a line settle no plane
    if not apart.any():
        return np.zeros(3)
    gradients = np.linalg.solve(corners[apart], inverse[triples[apart]][..., None])[..., 0]
    sample = generator.integers(len(rays), size=SAMPLED)
    fits = np.abs(gradients @ rays[sample].T - inverse[sample]) <= TOLERANCE * inverse[sample]
    return gradients[fits.sum(axis=1).argmax()]


class FloorScale:
    """A factor on depth, smoothed over time, that puts the floor where it is.

    Args:
        space: of the labels; it must have a class of floor.
        camera_height: metres above the floor.

    Raises:
        ValueError: if the space has no such class, or the height is not positive.
    """

    def __init__(self, space: LabelSpace, camera_height: float) -> None:
        if camera_height <= 0:
            raise InputError(f'camera_height {camera_height}: expected metres above the floor')
        self._height = camera_height
        self._floor = floor_class(space)
        self._log_factor: float | None = None

    @property
    def factor(self) -> float:
        """The newest; 1 before any floor was seen."""
        return 1.0 if self._log_factor is None else float(np.exp(self._log_factor))

    def update(self, depth: np.ndarray, labels: np.ndarray, intrinsics: Intrinsics) -> float:
        """Look at a view; the factor for it.

        Args:
            depth: float32 H,W, metres, uncorrected, 0 = invalid.
            labels: uint8 H,W, class indices.
            intrinsics: of exactly this size.
        """
        distance = plane_distance(depth, labels == self._floor, intrinsics)
        measured = None if distance is None else np.log(self._height / distance)
        if measured is not None and abs(measured) <= np.log(MAX_FACTOR):
            old = measured if self._log_factor is None else self._log_factor
            self._log_factor = old + SMOOTHING * (measured - old)
        return self.factor


def floor_class(space: LabelSpace) -> int:
    """Index of the class that the camera stands on.

    Raises:
        ValueError: if the space has none.
    """
    for name in FLOOR_CLASSES:
        if name in space.names:
            return space.names.index(name)
    raise InputError(
        f'camera_height: {space.name} has none of {", ".join(FLOOR_CLASSES)}: expected a label space with one'
    )

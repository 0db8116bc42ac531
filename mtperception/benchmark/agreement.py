"""Do the maps of two ways to run a model agree?"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Agreement:
    """The worst over the images that were compared; None for a map that the model does not give."""

    labels: float | None
    """Smallest share of an image's pixels with equal labels, 0..1."""
    depth: float | None
    """Largest median relative difference of an image's depth."""


def compare(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> Agreement:
    """Compare the maps (N,H,W, by name) of the same images."""
    labels = depth = None
    if 'labels' in expected:
        labels = float((found['labels'] == expected['labels']).mean(axis=(1, 2)).min())
    if 'depth' in expected:
        difference = np.abs(found['depth'] / expected['depth'] - 1)
        depth = float(np.median(difference, axis=(1, 2)).max())
    return Agreement(labels, depth)

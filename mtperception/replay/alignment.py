# SPDX-License-Identifier: Apache-2.0
"""Taking a wrong scale out of a depth, to see what is left: is the scale wrong, or the shape?"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Alignment:
    """aligned depth = scale * depth + shift."""

    scale: float
    shift: float = 0.0
    """Metres."""


IDENTITY = Alignment(1.0)


def median_scale(depth: np.ndarray, truth: np.ndarray) -> Alignment:
    """The scale that makes half of the pixels too near and half too far: the median of truth / depth.

    Args:
        depth: float N, predicted metres, above 0, at least one.
        truth: float N, metres, above 0.
    """
    return Alignment(float(np.median(truth / depth)))


def scale_and_shift(depth: np.ndarray, truth: np.ndarray) -> Alignment:
    """The scale and the shift in metres with the least mean of (scale * depth + shift - truth)^2.

    Of a depth that is the same everywhere only the shift is found; its scale is left at 1.

    Args:
        depth: float N, predicted metres, at least one.
        truth: float N, metres.
    """
    mean, true_mean = depth.mean(), truth.mean()
    deviation = depth - mean
    spread = (deviation**2).sum()  # a dot product of BLAS would depend on the number of threads
    scale = float((deviation * (truth - true_mean)).sum() / spread) if spread > 0 else 1.0
    return Alignment(scale, float(true_mean - scale * mean))


def no_alignment(depth: np.ndarray, truth: np.ndarray) -> Alignment:
    """The depth as it is."""
    return IDENTITY


ALIGNMENTS: dict[str, Callable[[np.ndarray, np.ndarray], Alignment]] = {
    'raw': no_alignment,
    'median': median_scale,
    'scale_shift': scale_and_shift,
}
"""Each fits predicted to true depth on the pixels of one frame that have a truth."""

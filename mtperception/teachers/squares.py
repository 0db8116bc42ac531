# SPDX-License-Identifier: Apache-2.0
"""Labelling an image of any shape by a network that takes squares."""

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np

MAX_STEP = 0.5
"""Between the starts of two squares, in sides: where their labels meet, each still sees a quarter of a side beyond."""


def square_starts(length: int, side: int) -> list[int]:
    """First pixels of evenly spaced squares that cover a length, at most half a side apart.

    Args:
        length: of the long side of an image, pixels.
        side: of the squares: the short side of the image.
    """
    steps = math.ceil((length - side) / (MAX_STEP * side))
    return [round(step * (length - side) / steps) for step in range(steps + 1)] if steps else [0]


def by_squares(image: np.ndarray, label: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Label an image square by square; each pixel gets its label from the square whose centre is nearest.

    Args:
        image: uint8 H,W,3.
        label: makes uint8 S,S of uint8 S,S,3, S being the short side of the image.

    Returns:
        uint8 H,W.
    """
    height, width = image.shape[:2]
    side, is_wide = min(height, width), width > height
    starts = square_starts(max(height, width), side)
    # Half-way between the centres of two squares.
    borders = [0, *((a + b + side) // 2 for a, b in pairwise(starts)), max(height, width)]
    labels = np.empty((height, width), np.uint8)
    for start, (first, end) in zip(starts, pairwise(borders), strict=True):
        if is_wide:
            labels[:, first:end] = label(image[:, start : start + side])[:, first - start : end - start]
        else:
            labels[first:end] = label(image[start : start + side])[first - start : end - start]
    return labels

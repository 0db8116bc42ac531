# SPDX-License-Identifier: Apache-2.0
"""How far the maps of one way to run a model are from those of another: the one comparison that all proofs use.

A value that is not finite equals nothing, itself included.
"""

from collections.abc import Mapping

import numpy as np

from mtperception.tasks import CLASSES, DIRECTIONS, METRES, graph_output

Maps = Mapping[str, np.ndarray]
"""By the name of the graph's output: N,H,W or N,H,W,C, or the same without the N."""


def differences(name: str, found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """How far each pixel of a map is from what it should be.

    Args:
        name: of the graph's output.
        found: the map.
        expected: what it should be, of the same shape.

    Returns:
        float64, one for each pixel; infinite where either is not finite. Classes: 0 equal, 1 different. Shares: of 255.
        Metres: metres. Directions: length of the difference of the unit vectors.
    """
    output = graph_output(name)
    if output.kind == CLASSES:
        return (found != expected).astype(np.float64)
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    if output.channels > 1:
        difference = np.sqrt((difference**2).sum(axis=-1))
    return np.where(np.isfinite(difference), difference, np.inf)


def relative_differences(name: str, found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """`differences` as precisions are judged by: metres in parts of the expected depth, directions in degrees."""
    difference = differences(name, found, expected)
    kind = graph_output(name).kind
    if kind == METRES:
        ratio = np.divide(difference, np.abs(expected), out=np.full(difference.shape, np.inf), where=expected != 0)
        return np.where(difference == 0, 0.0, ratio)
    if kind == DIRECTIONS:
        angle = np.degrees(2 * np.arcsin(np.clip(difference / 2, 0, 1)))
        return np.where(np.isfinite(difference), angle, np.inf)
    return difference


def mismatch(found: Maps, expected: Maps) -> str:
    """What is wrong with maps before any value is looked at: one that is missing, of another type or shape; '' if none.

    Values that are not finite are named too, with the share of pixels that have them.
    """
    for name, reference in expected.items():
        map_ = found.get(name)
        if map_ is None or map_.dtype != reference.dtype or map_.shape != reference.shape:
            kind = 'nothing' if map_ is None else f'{map_.dtype} {map_.shape}'
            return f'{name}: found {kind}, expected {reference.dtype} {reference.shape}'
        if not np.isfinite(map_).all():
            share = 1 - np.isfinite(map_).mean()
            return f'{name}: {share:.2%} of the values are not finite, expected none'
    return ''


def typical_difference(name: str, found: np.ndarray, expected: np.ndarray) -> float:
    """One figure for any number of pixels: the share with another class, else the median of `relative_differences`."""
    difference = relative_differences(name, found, expected)
    return float(difference.mean() if graph_output(name).kind == CLASSES else np.median(difference))


def compare(found: Maps, expected: Maps) -> dict[str, float]:
    """How far the maps of the same images are from what they should be.

    Args:
        found: maps N,H,W or N,H,W,C; others than those expected do not count.
        expected: what they should be.

    Returns:
        By output expected, of the image that is farthest off: its `typical_difference`; infinite where a pixel's is.
    """
    return {
        name: max(_of_image(name, *maps) for maps in zip(found[name], map_, strict=True))
        for name, map_ in expected.items()
    }


def _of_image(name: str, found: np.ndarray, expected: np.ndarray) -> float:
    if not np.isfinite(relative_differences(name, found, expected)).all():
        return float('inf')
    return typical_difference(name, found, expected)

# SPDX-License-Identifier: Apache-2.0
"""How far the maps of one way to run a model are from those of another: the one comparison that all proofs use.

A value that is not finite equals nothing, itself included.
"""

from collections.abc import Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Agreement:
    """The worst over the images that were compared; None for a map that the model does not give."""

    labels: float | None
    """Smallest share of an image's pixels with equal labels, 0..1."""
    depth: float | None
    """Largest median relative difference of an image's depth; infinite where it is not finite."""


def compare(found: Maps, expected: Maps) -> Agreement:
    """Compare the maps (N,H,W, by name) of the same images."""
    labels = depth = None
    if 'labels' in expected:
        unequal = differences('labels', found['labels'], expected['labels'])
        labels = float(1 - unequal.mean(axis=(1, 2)).max())
    if 'depth' in expected:
        relative = relative_differences('depth', found['depth'], expected['depth'])
        median = float(np.median(relative, axis=(1, 2)).max())
        depth = median if np.isfinite(relative).all() else float('inf')
    return Agreement(labels, depth)

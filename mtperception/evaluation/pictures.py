# SPDX-License-Identifier: Apache-2.0
"""Pictures of a predicted map beside its truth, by what the map holds: for the galleries of reports."""

from collections.abc import Callable

import numpy as np

from mtperception.geometry import is_valid
from mtperception.labels import LabelSpace
from mtperception.tasks import CLASSES, DIRECTIONS, METRES, SHARES, GraphOutput
from mtperception.visualization import colorize_depth, colorize_labels

Pair = tuple[np.ndarray, np.ndarray]
"""Predicted and true, uint8 H,W,3 each."""


def draw_pair(output: GraphOutput, predicted: np.ndarray, truth: np.ndarray, space: LabelSpace | None) -> Pair:
    """Both maps of an output in the same colours.

    Args:
        output: of the graph.
        predicted: its map.
        truth: what it should be, of the same shape.
        space: of both, where they are classes.
    """
    return _DRAW[output.kind](predicted, truth, space)


def _draw_classes(predicted: np.ndarray, truth: np.ndarray, space: LabelSpace | None) -> Pair:
    return colorize_labels(predicted, space), colorize_labels(truth, space)


def _draw_metres(predicted: np.ndarray, truth: np.ndarray, space: LabelSpace | None) -> Pair:
    """In the range of the truth, so that equal colours are equal depths."""
    known = truth[is_valid(truth)]
    near, far = float(known.min()), float(known.max())
    far = max(far, near + 0.1)
    return colorize_depth(predicted, near, far), colorize_depth(truth, near, far)


def _draw_shares(predicted: np.ndarray, truth: np.ndarray, space: LabelSpace | None) -> Pair:
    """White is all."""
    return np.repeat(predicted[..., None], 3, axis=2), np.repeat(truth[..., None], 3, axis=2)


def _draw_directions(predicted: np.ndarray, truth: np.ndarray, space: LabelSpace | None) -> Pair:
    """Components -1..1 as red, green and blue; gray is unknown."""
    first, second = (np.rint((map_ + 1) * 127.5).astype(np.uint8) for map_ in (predicted, truth))
    return first, second


_DRAW: dict[str, Callable[[np.ndarray, np.ndarray, LabelSpace | None], Pair]] = {
    CLASSES: _draw_classes,
    METRES: _draw_metres,
    SHARES: _draw_shares,
    DIRECTIONS: _draw_directions,
}

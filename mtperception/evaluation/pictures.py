# SPDX-License-Identifier: Apache-2.0
"""Pictures of a predicted map beside its truth, for the galleries of reports."""

import numpy as np

from mtperception.geometry import is_valid
from mtperception.labels import LabelSpace
from mtperception.tasks import METRES, GraphOutput
from mtperception.visualization import colorize

LEAST_RANGE = 0.1
"""Metres between the nearest and the farthest colour."""


def draw_pair(
    output: GraphOutput, predicted: np.ndarray, truth: np.ndarray, space: LabelSpace | None
) -> tuple[np.ndarray, np.ndarray]:
    """Both maps of an output in the same colours, uint8 H,W,3 each; depth in the range of the truth.

    Args:
        output: of the graph.
        predicted: its map.
        truth: what it should be, of the same shape.
        space: of both, where they are classes.
    """
    near, far = _range(truth) if output.kind == METRES else (0.0, 0.0)
    first, second = (colorize(output.kind, map_, space, (near, far)) for map_ in (predicted, truth))
    return first, second


def _range(depth: np.ndarray) -> tuple[float, float]:
    known = depth[is_valid(depth)]
    near = float(known.min(initial=np.inf))
    return near, max(float(known.max(initial=0)), near + LEAST_RANGE)

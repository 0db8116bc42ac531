# SPDX-License-Identifier: Apache-2.0
"""Which depth enters a map, and what is left out and why."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtperception.geometry import depth_edges, is_valid
from mtperception.labels import DEFAULT_INVALID_DEPTH_CLASSES, LabelSpace, invalid_depth_table

DEFAULT_DYNAMIC_CLASSES = ('person', 'car')
"""Where the label space has them: what moves leaves trails in a map."""
DEFAULT_DEPTH_EDGE_THRESHOLD = 0.05
INVALID, SURFACELESS, DYNAMIC, UNSURE, FAR, EDGE = (
    'no depth',
    'class without surface',
    'dynamic class',
    'unsure depth',
    'beyond max_depth',
    'depth edge',
)
"""Why a pixel is left out; the first that applies counts."""


@dataclass(frozen=True)
class Filtered:
    """Depth to fuse."""

    depth: np.ndarray
    """float32 H,W: metres, 0 where it is left out."""
    left_out: dict[str, int]
    """Pixels by reason."""


class DepthFilter:
    """Leaves out depth that is no surface which stays.

    Args:
        space: of the labels.
        max_depth: metres; what is farther is left out.
        dynamic_classes: names; the default where the space has them, '' is none.
        invalid_depth_classes: names of classes without a surface, likewise.
        depth_edge_threshold: as for `geometry.depth_edges`; 0: off.
        depth_confidence_threshold: 0..1; depth of lower confidence is left out.

    Raises:
        ValueError: for a class that the space lacks.
    """

    def __init__(
        self,
        space: LabelSpace,
        max_depth: float,
        dynamic_classes: Sequence[str] = DEFAULT_DYNAMIC_CLASSES,
        invalid_depth_classes: Sequence[str] = DEFAULT_INVALID_DEPTH_CLASSES,
        depth_edge_threshold: float = DEFAULT_DEPTH_EDGE_THRESHOLD,
        depth_confidence_threshold: float = 0.0,
    ) -> None:
        self._max_depth = max_depth
        self._dynamic = space.mark(dynamic_classes, DEFAULT_DYNAMIC_CLASSES) > 0
        self._surfaceless = invalid_depth_table(space, invalid_depth_classes) > 0
        self._threshold = depth_edge_threshold
        self._min_confidence = int(np.ceil(depth_confidence_threshold * 255))

    def __call__(self, depth: np.ndarray, labels: np.ndarray, depth_confidence: np.ndarray | None = None) -> Filtered:
        """Apply it.

        Args:
            depth: float32 H,W, metres.
            labels: uint8 H,W, class indices, 255 = unknown.
            depth_confidence: uint8 H,W, 0..255; None: nothing is left out by it.
        """
        kept = is_valid(depth)
        left_out = {INVALID: int(kept.size - kept.sum())}
        for reason, wrong in (
            (SURFACELESS, self._surfaceless[labels]),
            (DYNAMIC, self._dynamic[labels]),
            (UNSURE, False if depth_confidence is None else depth_confidence < self._min_confidence),
            (FAR, depth >= self._max_depth),
            (EDGE, depth_edges(depth, self._threshold)),
        ):
            left_out[reason] = int((kept & wrong).sum())
            kept &= np.logical_not(wrong)
        return Filtered(np.where(kept, depth, np.float32(0)), left_out)

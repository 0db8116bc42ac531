# SPDX-License-Identifier: Apache-2.0
"""Predicted against measured depth, before and after alignment: over all, by distance and by class."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtperception.evaluation.metrics import DepthMetrics, depth_terms
from mtperception.geometry import is_valid
from mtperception.labels import IGNORE_INDEX
from mtperception.replay.alignment import ALIGNMENTS, Alignment

BANDS = (0.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 40.0, 80.0, np.inf)
"""Metres: bounds of the bands of true distance."""
_CLASSES = IGNORE_INDEX + 1


@dataclass(frozen=True)
class FrameDepthScore:
    """The depth of one frame."""

    metrics: dict[str, dict[str, float]]
    """By alignment, then by name."""
    fits: dict[str, Alignment]
    """By alignment."""


@dataclass(frozen=True)
class AlignedMetrics:
    """Metrics of the same pixels under each alignment."""

    by_alignment: Mapping[str, DepthMetrics]

    @property
    def pixels(self) -> int:
        """How many were counted."""
        return int(self.by_alignment['raw'].pixels)

    def compute(self) -> dict[str, dict[str, float]]:
        """By alignment, then by name (`evaluation/metrics.py`)."""
        return {name: metrics.compute() for name, metrics in self.by_alignment.items()}


class DepthScores:
    """Sums over frames; alignments are fitted to each frame by itself."""

    def __init__(self) -> None:
        self._overall = DepthMetrics(len(ALIGNMENTS))
        self._by_band = DepthMetrics(len(BANDS) - 1, len(ALIGNMENTS))
        self._by_class = DepthMetrics(_CLASSES, len(ALIGNMENTS))

    @property
    def overall(self) -> AlignedMetrics:
        """Metrics over all pixels."""
        return _aligned(self._overall)

    @property
    def by_band(self) -> list[AlignedMetrics]:
        """By band of true distance (`BANDS`)."""
        return [_aligned(self._by_band, band) for band in range(len(BANDS) - 1)]

    @property
    def by_class(self) -> dict[int, AlignedMetrics]:
        """By predicted class, those that were not predicted left out; `IGNORE_INDEX` is a prediction of no class."""
        predicted = np.flatnonzero(self._by_class.pixels.any(axis=1)).tolist()
        return {index: _aligned(self._by_class, index) for index in predicted}

    def add(self, depth: np.ndarray, truth: np.ndarray, labels: np.ndarray | None) -> FrameDepthScore | None:
        """Add a frame.

        Args:
            depth: float32 H,W, predicted metres.
            truth: float32 H,W, metres; what is not `geometry.is_valid` does not count.
            labels: uint8 H,W, predicted classes; None of a model without.

        Returns:
            The scores of this frame alone; None if no pixel has a truth.
        """
        known = is_valid(truth)
        predicted, true = depth[known].astype(np.float64), truth[known].astype(np.float64)
        if not true.size:
            return None
        band = np.searchsorted(BANDS, true, side='right') - 1
        group = band * _CLASSES + (IGNORE_INDEX if labels is None else labels[known])
        fits = {name: fit(predicted, true) for name, fit in ALIGNMENTS.items()}
        sums, by_group = [], []
        for fit in fits.values():
            terms = depth_terms(fit.scale * predicted + fit.shift, true)
            sums.append(terms.sum(axis=1))
            by_group.append(_grouped(terms, group))
        frame = DepthMetrics(len(ALIGNMENTS))
        frame.add(np.stack(sums), np.full(len(ALIGNMENTS), true.size))
        self._overall.merge(frame)
        self._add_groups(np.stack(by_group, axis=2), _pixels(group), with_classes=labels is not None)
        return FrameDepthScore(_aligned(frame).compute(), fits)

    def merge(self, other: 'DepthScores') -> None:
        """Add the frames of another one."""
        for own, added in zip(self._parts().values(), other._parts().values(), strict=True):
            own.merge(added)

    def state(self) -> dict[str, Any]:
        """All that was summed, for JSON."""
        return {name: part.state() for name, part in self._parts().items()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become the scores that a state was taken of.

        Raises:
            ValueError, KeyError: if it is of something else.
        """
        for name, part in self._parts().items():
            part.restore(state[name])

    def _parts(self) -> dict[str, DepthMetrics]:
        return {'overall': self._overall, 'by_band': self._by_band, 'by_class': self._by_class}

    def _add_groups(self, sums: np.ndarray, pixels: np.ndarray, *, with_classes: bool) -> None:
        """Add the two marginals of sums (bands, classes, alignments, terms) and pixels (bands, classes)."""
        for metrics, axis in ((self._by_band, 1), (self._by_class, 0)):
            if metrics is self._by_band or with_classes:
                counts = np.repeat(pixels.sum(axis=axis)[:, None], len(ALIGNMENTS), axis=1)
                metrics.add(sums.sum(axis=axis), counts)


def _aligned(metrics: DepthMetrics, *group: int) -> AlignedMetrics:
    """One of the groups, whose last axis is the alignment."""
    return AlignedMetrics({name: metrics.group(*group, index) for index, name in enumerate(ALIGNMENTS)})


def _pixels(group: np.ndarray) -> np.ndarray:
    """int64 bands,classes."""
    return np.bincount(group, minlength=(len(BANDS) - 1) * _CLASSES).reshape(len(BANDS) - 1, _CLASSES)


def _grouped(terms: np.ndarray, group: np.ndarray) -> np.ndarray:
    """float64 bands,classes,terms: sums by band and class at once; what is asked for are the two marginals."""
    size = (len(BANDS) - 1) * _CLASSES
    sums = np.stack([np.bincount(group, term, size) for term in terms], axis=-1)
    return sums.reshape(len(BANDS) - 1, _CLASSES, len(terms))

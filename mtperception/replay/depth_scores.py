"""Predicted against measured depth, before and after alignment: over all, by distance and by class."""

from dataclasses import dataclass

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


class AlignedMetrics:
    """Metrics of the same pixels under each alignment."""

    def __init__(self) -> None:
        self.by_alignment = {name: DepthMetrics() for name in ALIGNMENTS}

    @property
    def pixels(self) -> int:
        """How many were counted."""
        return self.by_alignment['raw'].pixels

    def compute(self) -> dict[str, dict[str, float]]:
        """By alignment, then by name (`evaluation/metrics.py`)."""
        return {name: metrics.compute() for name, metrics in self.by_alignment.items()}


class DepthScores:
    """Sums over frames; alignments are fitted to each frame by itself."""

    def __init__(self) -> None:
        self.overall = AlignedMetrics()
        self.by_band = [AlignedMetrics() for _ in BANDS[:-1]]
        self.by_class: dict[int, AlignedMetrics] = {}
        """By predicted class; `IGNORE_INDEX` is a prediction of no class."""

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
        frame = AlignedMetrics()
        fits = {name: fit(predicted, true) for name, fit in ALIGNMENTS.items()}
        for name, fit in fits.items():
            terms = depth_terms(fit.scale * predicted + fit.shift, true)
            frame.by_alignment[name].add(terms.sum(axis=1), true.size)
            self.overall.by_alignment[name].add(terms.sum(axis=1), true.size)
            self._add_groups(name, terms, group, with_classes=labels is not None)
        return FrameDepthScore(frame.compute(), fits)

    def _add_groups(self, alignment: str, terms: np.ndarray, group: np.ndarray, *, with_classes: bool) -> None:
        """Sum by band and class at once; what is asked for are the two marginals."""
        shape = (len(BANDS) - 1, _CLASSES)
        size = shape[0] * shape[1]
        sums = np.stack([np.bincount(group, term, size).reshape(shape) for term in terms])
        pixels = np.bincount(group, minlength=size).reshape(shape)
        for band, metrics in enumerate(self.by_band):
            metrics.by_alignment[alignment].add(sums[:, band].sum(axis=1), int(pixels[band].sum()))
        if not with_classes:
            return
        for index in np.flatnonzero(pixels.any(axis=0)).tolist():
            metrics = self.by_class.setdefault(index, AlignedMetrics())
            metrics.by_alignment[alignment].add(sums[:, :, index].sum(axis=1), int(pixels[:, index].sum()))

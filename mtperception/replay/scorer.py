"""Scores the frames of a recording one after the other."""

import heapq
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from mtperception.errors import InputError
from mtperception.evaluation.comparison import map_labels
from mtperception.evaluation.depth_profile import DepthProfile
from mtperception.evaluation.metrics import SegmentationMetrics
from mtperception.hardware import describe_hardware
from mtperception.labels import IGNORE_INDEX, LabelSpace
from mtperception.predictor import BackendPredictor
from mtperception.recording.recording import RecordedFrame
from mtperception.replay.depth_scores import BANDS, AlignedMetrics, DepthScores
from mtperception.replay.depth_truth import depth_truth, truth_notes
from mtperception.replay.flicker import View, compensated_flicker, plain_flicker
from mtperception.replay.result import FrameResult, Replay, Shown
from mtperception.types import Prediction

SHOWN = 6
"""Frames that are kept as the worst by a metric."""


class Scorer:
    """Sums over frames. The order counts: flicker is the difference from the frame before.

    Args:
        predictor: whose predictions these are.
        truth_space: of the recorded labels; None if there are none.

    Raises:
        ValueError: if the classes of the model are not comparable with those of the truth.
    """

    def __init__(self, predictor: BackendPredictor, truth_space: LabelSpace | None = None) -> None:
        self._card = predictor.card
        self._label_space = predictor.label_space
        self._truth_space = truth_space
        self._mapping, self._segmentation = None, None
        if truth_space is not None:
            self._mapping = map_labels(predictor.label_space, predictor.card.classes, truth_space)
            self._segmentation = SegmentationMetrics(len(truth_space))
        self._depth = DepthScores()
        self._profile = DepthProfile(predictor.card.depth_range[1])
        self._frames: list[FrameResult] = []
        self._previous: View | None = None
        self._worst = {'rmse': _Worst(1), 'miou': _Worst(-1), 'label_flicker': _Worst(1)}

    def add(self, frame: RecordedFrame, prediction: Prediction) -> FrameResult:
        """Score the next frame.

        Args:
            frame: of the recording.
            prediction: for its image, at its size.

        Raises:
            ValueError: if the recorded labels have a class that the truth's label space has not.
        """
        depth, truth = None, None
        if frame.depth is not None and prediction.depth is not None:
            truth = depth_truth(frame.depth, self._card.depth_range[1])
            depth = self._depth.add(prediction.depth, frame.depth, prediction.labels)
            self._profile.update(prediction.depth, frame.depth)
        view, previous = View(prediction, frame.intrinsics, frame.T_world_camera), self._previous
        result = FrameResult(
            frame.index,
            frame.stamp_ns,
            depth,
            self._score_labels(prediction, frame.labels),
            None if previous is None else plain_flicker(previous.prediction, prediction),
            None if previous is None else compensated_flicker(previous, view),
            truth,
        )
        self._frames.append(result)
        self._previous = view
        values = result.values()
        for metric, worst in self._worst.items():
            shown = Shown(values.get(metric, np.nan), frame, prediction, previous and previous.prediction)
            worst.add(shown, len(self._frames))
        return result

    def result(self, seconds: Mapping[str, float], protocol: Mapping[str, Any], notes: Sequence[str]) -> Replay:
        """What came out so far.

        Args:
            seconds: spent on `reading`, `predicting`, `scoring`, and `writing` if anything was written.
            protocol: how it was measured.
            notes: what a user should know besides.
        """
        truths = [frame.truth for frame in self._frames if frame.truth is not None]
        overall = self._depth.overall
        known = overall.pixels > 0
        return Replay(
            model=self._card.name,
            label_space=self._label_space,
            truth_space=self._truth_space,
            frames=tuple(self._frames),
            depth=overall if known else None,
            by_band={name: band for name, band in zip(band_names(), self._depth.by_band, strict=True) if band.pixels},
            by_class=self._by_class(),
            depth_profile=self._profile if known else None,
            segmentation=self._segmentation.compute() if self._segmentation else {},
            iou=dict(zip(self._truth_space.names, self._segmentation.iou.tolist(), strict=True))
            if self._segmentation
            else {},
            worst={metric: worst.sorted() for metric, worst in self._shown_by().items()},
            seconds=seconds,
            protocol=protocol,
            notes=(*notes, *truth_notes(truths, self._card.depth_range[1])),
            hardware=describe_hardware(),
        )

    def _score_labels(self, prediction: Prediction, truth: np.ndarray | None) -> dict[str, float]:
        if truth is None or self._mapping is None or prediction.labels is None:
            return {}
        metrics = SegmentationMetrics(self._segmentation.num_classes)
        try:
            metrics.update(self._mapping.table[prediction.labels], truth)
        except ValueError as error:
            raise InputError(
                f'recorded labels as classes of {self._truth_space.name}: {error}: expected another label offset or '
                'another label space'
            ) from error
        self._segmentation.merge(metrics)
        return metrics.compute()

    def _by_class(self) -> dict[str, AlignedMetrics]:
        names = dict(enumerate(self._label_space.names)) | {IGNORE_INDEX: 'no class'}
        return {names[index]: metrics for index, metrics in sorted(self._depth.by_class.items())}

    def _shown_by(self) -> dict[str, '_Worst']:
        """By truth where there is one; flicker says something where there is none."""
        found = {metric: worst for metric, worst in self._worst.items() if worst.kept}
        flicker = {metric: found.pop(metric) for metric in ['label_flicker'] if metric in found}
        return found or flicker


class _Worst:
    """Keeps the frames with the largest values (sign 1) or the smallest (-1)."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self.kept: list[tuple[float, int, Shown]] = []

    def add(self, shown: Shown, position: int) -> None:
        """Keep a frame if it is among the worst; the position settles ties, the earlier frame stays."""
        if np.isnan(shown.value):
            return
        entry = (self._sign * shown.value, -position, shown)
        if len(self.kept) < SHOWN:
            heapq.heappush(self.kept, entry)
        else:
            heapq.heappushpop(self.kept, entry)

    def sorted(self) -> tuple[Shown, ...]:
        """The worst first."""
        return tuple(shown for _, _, shown in sorted(self.kept, reverse=True))


def band_names() -> list[str]:
    """The bands of distance in words."""
    return [f'{low:g}-{high:g} m' if np.isfinite(high) else f'over {low:g} m' for low, high in pairwise(BANDS)]

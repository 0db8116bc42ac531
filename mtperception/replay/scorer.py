# SPDX-License-Identifier: Apache-2.0
"""Scores the frames of a recording one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np

from mtperception.card import ModelDirectory
from mtperception.errors import InputError
from mtperception.evaluation.comparison import NORMALS_WINDOW, Comparison, map_labels
from mtperception.evaluation.depth_profile import DepthProfile
from mtperception.evaluation.grouped_truth import truth_grouping
from mtperception.evaluation.metrics import METRICS
from mtperception.evaluation.running_sum import RunningSum
from mtperception.evaluation.scores import metrics_by_task
from mtperception.labels import IGNORE_INDEX, LabelSpace
from mtperception.predictor import BackendPredictor
from mtperception.recording.recording import RecordedFrame
from mtperception.replay.depth_scores import BANDS, AlignedMetrics, DepthScores
from mtperception.replay.depth_truth import depth_truth, truth_notes
from mtperception.replay.flicker import View, compensated_flicker, plain_flicker
from mtperception.replay.result import FLICKER, FrameResult, Replay, WorstFrame, ordering_metrics
from mtperception.tasks import DEPTH, SEGMENTATION, TASKS, larger_is_better
from mtperception.types import Prediction, Sample

SHOWN = 6
"""Frames that are named as the worst by a metric."""


class Scorer:
    """Sums over frames. The order counts: flicker is the difference from the frame before.

    Args:
        model: whose predictions these are.
        truth_space: of the recorded labels; None if there are none. Where it is finer than the model's, its classes
            become those of the model.

    Raises:
        ValueError: if the classes of the model are not comparable with those of the truth.
    """

    def __init__(self, model: BackendPredictor | ModelDirectory, truth_space: LabelSpace | None = None) -> None:
        self._card = model.card
        self._label_space = model.label_space
        self._truth_space = truth_space
        self._grouping, mapping = None, None
        if truth_space is not None:
            self._grouping = truth_grouping(model.label_space, truth_space)
            if self._grouping is not None:
                self._truth_space = truth_space = model.label_space
            mapping = map_labels(model.label_space, model.card.classes, truth_space)
        tasks = [name for name in model.card.tasks if name != DEPTH.name]  # which is scored under each alignment
        self._comparison = Comparison(tasks, mapping, len(truth_space) if truth_space else 0, NORMALS_WINDOW)
        self._totals: dict[str, RunningSum] = {}
        self._depth = DepthScores()
        self._profile = DepthProfile(model.card.depth_range[1])
        self.frames: list[FrameResult] = []
        """In the order of the recording."""
        self._previous: View | None = None

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
            factor = 1.0 if frame.intrinsics is None else self._card.depth_factor(frame.intrinsics)
            truth = depth_truth(frame.depth, factor * self._card.depth_range[1])
            depth = self._depth.add(prediction.depth, frame.depth, prediction.labels)
            self._profile.update(prediction.depth, frame.depth)
        view, previous = View(prediction, frame.intrinsics, frame.T_world_camera), self._previous
        result = FrameResult(
            frame.index,
            frame.stamp_ns,
            depth,
            self._score_tasks(prediction, self.sample_of(frame)),
            None if previous is None else plain_flicker(previous.prediction, prediction),
            None if previous is None else compensated_flicker(previous, view),
            truth=truth,
            size=frame.image.shape[1::-1],
            with_camera=frame.intrinsics is not None,
            with_pose=frame.T_world_camera is not None,
        )
        self.frames.append(result)
        self._previous = view
        return result

    def sample_of(self, frame: RecordedFrame) -> Sample:
        """What is known of a frame, as a data set would have it; labels are classes of the truth's space."""
        labels = frame.labels if self._grouping is None or frame.labels is None else self._grouping[frame.labels]
        return Sample(frame.image, labels, frame.depth, frame.intrinsics)

    def begin_after(self, frame: RecordedFrame, prediction: Prediction) -> None:
        """Compare the next frame with this one, which is scored elsewhere."""
        self._previous = View(prediction, frame.intrinsics, frame.T_world_camera)

    def merge(self, other: 'Scorer') -> None:
        """Add the frames of the part of the recording that follows."""
        self.frames += other.frames
        self.merge_sums(other)

    def merge_sums(self, other: 'Scorer') -> None:
        """Add the sums of another recording, which may lack truths that this one has, without its frames."""
        self._depth.merge(other._depth)
        self._profile.merge(other._profile)
        self._add(other._totals)

    def state(self) -> dict[str, Any]:
        """All that was scored, for JSON."""
        return {
            'frames': [asdict(frame) for frame in self.frames],
            'depth_scores': self._depth.state(),
            'depth_profile': self._profile.state(),
            'totals': {name: total.state() for name, total in self._totals.items()},
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become the scorer that a state was taken of, which was made with the same arguments.

        Raises:
            ValueError, KeyError, TypeError: if it is of something else.
        """
        self.frames = [FrameResult.restored(frame) for frame in state['frames']]
        self._depth.restore(state['depth_scores'])
        self._profile.restore(state['depth_profile'])
        for name, total in state['totals'].items():
            self._totals[name] = METRICS[name](self._comparison.num_classes)
            self._totals[name].restore(total)

    def result(
        self,
        seconds: Mapping[str, float],
        protocol: Mapping[str, Any],
        notes: Sequence[str],
        hardware: str,
    ) -> Replay:
        """What came out so far.

        Args:
            seconds: spent on `reading`, `predicting`, `scoring`, and `writing` if anything was written.
            protocol: how it was measured.
            notes: what a user should know besides.
            hardware: that it was measured on.
        """
        truths = [frame.truth for frame in self.frames if frame.truth is not None]
        depth = self.depth_metrics()
        return Replay(
            model=self._card.name,
            label_space=self._label_space,
            truth_space=self._truth_space,
            frames=tuple(self.frames),
            depth=depth,
            by_band={name: band for name, band in zip(band_names(), self._depth.by_band, strict=True) if band.pixels},
            by_class=self._by_class(),
            depth_profile=self._profile if depth else None,
            tasks=self.task_metrics(),
            iou=self._iou(),
            worst=self._worst(),
            sample_of=self.sample_of,
            seconds=seconds,
            protocol=protocol,
            notes=(*notes, *truth_notes(truths)),
            hardware=hardware,
        )

    def depth_metrics(self) -> AlignedMetrics | None:
        """Metrics over all depth; None without any truth."""
        return self._depth.overall if self._depth.overall.pixels else None

    def task_metrics(self) -> dict[str, dict[str, float]]:
        """Metrics by task, besides depth; only tasks that something was compared for."""
        return metrics_by_task(self._comparison.tasks, self._totals)

    @property
    def truths(self) -> dict[str, str]:
        """What the truth is, by task that something was compared for; for the protocol."""
        scored = self.task_metrics()
        return {name: text for name, text in self._comparison.truths().items() if name in scored}

    def _iou(self) -> dict[str, float]:
        """By class of the truth's space."""
        if self._truth_space is None:
            return {}
        accumulator = SEGMENTATION.measures[0].accumulator
        known = self._totals.get(accumulator, METRICS[accumulator](self._comparison.num_classes))
        return dict(zip(self._truth_space.names, known.iou.tolist(), strict=True))

    def _score_tasks(self, prediction: Prediction, sample: Sample) -> dict[str, float]:
        """The metrics of one frame, which is added to the totals."""
        sums: dict[str, RunningSum] = {}
        for task in self._comparison.in_common(sample):
            try:
                sums |= self._comparison.score(task, prediction, sample)
            except ValueError as error:
                if not TASKS[task].has_classes:
                    raise
                raise InputError(
                    f'recorded labels as classes of {self._truth_space.name}: {error}: expected another label offset '
                    'or another label space'
                ) from error
        self._add(sums)
        return {name: value for added in sums.values() for name, value in added.compute().items()}

    def _add(self, sums: Mapping[str, RunningSum]) -> None:
        for name, added in sums.items():
            self._totals.setdefault(name, METRICS[name](self._comparison.num_classes)).merge(added)

    def _by_class(self) -> dict[str, AlignedMetrics]:
        names = dict(enumerate(self._label_space.names)) | {IGNORE_INDEX: 'no class'}
        return {names[index]: metrics for index, metrics in sorted(self._depth.by_class.items())}

    def _worst(self) -> dict[str, Sequence[WorstFrame]]:
        """By truth where there is one; flicker says something where there is none."""
        found = {metric: worst_frames(self.frames, metric) for metric in ordering_metrics()}
        found = {metric: worst for metric, worst in found.items() if worst}
        flicker = {metric: found.pop(metric) for metric in [FLICKER] if metric in found}
        return found or flicker


def worst_frames(frames: Sequence[FrameResult], metric: str) -> tuple[WorstFrame, ...]:
    """The frames with the worst values of a metric, the worst first; of equal ones the earlier first."""
    known = [
        WorstFrame(frame.values()[metric], frame.index, frames[position - 1].index if position else None)
        for position, frame in enumerate(frames)
        if not np.isnan(frame.values().get(metric, np.nan))
    ]
    sign = 1 if larger_is_better(metric) else -1
    return tuple(sorted(known, key=lambda frame: sign * frame.value)[:SHOWN])


def band_names() -> list[str]:
    """The bands of distance in words."""
    return [f'{low:g}-{high:g} m' if np.isfinite(high) else f'over {low:g} m' for low, high in pairwise(BANDS)]

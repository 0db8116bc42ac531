# SPDX-License-Identifier: Apache-2.0
"""What a model achieved on a recording."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mtperception.evaluation.depth_profile import DepthProfile
from mtperception.labels import LabelSpace
from mtperception.recording.recording import RecordedFrame
from mtperception.replay.alignment import Alignment
from mtperception.replay.depth_scores import AlignedMetrics, FrameDepthScore
from mtperception.replay.depth_truth import DepthTruth
from mtperception.replay.flicker import Flicker
from mtperception.tasks import DEPTH, TASKS
from mtperception.types import Sample

DEFINITIONS = {
    'aligned': (
        'median: depth times the median of truth / prediction; scale_shift: depth times and plus what least squares '
        'give; both fitted to each frame by itself'
    ),
    'scale': 'median over frames of the median over pixels of truth / prediction: 1 is right, 1.1 is 10 % too near',
    'scale_std': 'standard deviation of the scale over frames',
    'scale_change': 'mean of the absolute change of the scale from one frame with a truth to the next',
    'label_flicker': 'mean over consecutive frames of the share of pixels with another class',
    'depth_flicker': 'mean over consecutive frames of the median over pixels of |now - before| / before',
    'compensated': 'the same after the previous maps were warped by predicted depth and recorded camera motion',
}
"""What the metrics are that no data set has, for protocols."""

FLICKER = 'label_flicker'
"""What frames without any truth, and bags of such, are ordered by."""


def ordering_metrics() -> list[str]:
    """The metrics that frames and bags are ordered by: those that tasks are judged by, depth's first, then flicker."""
    others = [task for task in TASKS.values() if task is not DEPTH and not task.about]
    return [*(task.main_metric for task in (DEPTH, *others)), FLICKER]


@dataclass(frozen=True)
class FrameResult:
    """One frame. What it has no truth or no predecessor for is missing."""

    index: int
    """Position among the images of its topic."""
    stamp_ns: int
    depth: FrameDepthScore | None
    tasks: Mapping[str, float]
    """Metrics of the tasks besides depth."""
    flicker: Flicker | None
    compensated: Flicker | None
    truth: DepthTruth | None = None
    """Measured depth of the frame, if it has any."""
    size: tuple[int, int] = (0, 0)
    """Width and height of the image."""
    with_camera: bool = False
    """Whether the image has a usable camera_info."""
    with_pose: bool = False
    """Whether the pose of the camera is known."""

    @classmethod
    def restored(cls, state: Mapping[str, Any]) -> 'FrameResult':
        """The frame whose `dataclasses.asdict` this is, as JSON keeps it."""
        depth = state['depth'] and FrameDepthScore(
            state['depth']['metrics'], {name: Alignment(**fit) for name, fit in state['depth']['fits'].items()}
        )
        flicker, compensated = (state[key] and Flicker(**state[key]) for key in ('flicker', 'compensated'))
        truth = state['truth'] and DepthTruth(**state['truth'])
        changed = {'depth': depth, 'flicker': flicker, 'compensated': compensated, 'truth': truth}
        return cls(**{**state, **changed, 'size': tuple(state['size'])})

    def values(self) -> dict[str, float]:
        """All figures by name: of tasks, of depth (`rmse`, `rmse_median`, `rmse_scale_shift`, ...), scale, flicker."""
        values = {'index': self.index, 'stamp_ns': self.stamp_ns, **self.tasks}
        if self.depth is not None:
            for alignment, metrics in self.depth.metrics.items():
                suffix = '' if alignment == 'raw' else f'_{alignment}'
                values |= {f'{name}{suffix}': value for name, value in metrics.items() if name != 'rmse_per_image'}
            values['scale'] = self.depth.fits['median'].scale
            values['scale_shift_scale'] = self.depth.fits['scale_shift'].scale
            values['scale_shift_shift'] = self.depth.fits['scale_shift'].shift
        for suffix, flicker in (('', self.flicker), ('_compensated', self.compensated)):
            if flicker is not None:
                values |= {f'label_flicker{suffix}': flicker.labels, f'depth_flicker{suffix}': flicker.depth}
        if self.compensated is not None:
            values['visible'] = self.compensated.visible
        return values


@dataclass(frozen=True)
class WorstFrame:
    """One of the frames with the worst values of a metric."""

    value: float
    """Value of the metric."""
    index: int
    """Position among the images of its topic."""
    previous: int | None
    """That of the frame before; None of the first one."""


@dataclass(frozen=True)
class Replay:
    """A model on a recording."""

    model: str
    label_space: LabelSpace
    """Label space of the model's labels."""
    truth_space: LabelSpace | None
    """Label space of the label topic; None without one."""
    frames: tuple[FrameResult, ...]
    """In the order of the recording."""
    depth: AlignedMetrics | None
    """None if no frame has a measured depth, and so for the next two."""
    by_band: Mapping[str, AlignedMetrics]
    """By band of true distance, such as `2-3 m`; bands without pixels left out."""
    by_class: Mapping[str, AlignedMetrics]
    """By name of the predicted class; classes that were not predicted left out."""
    depth_profile: DepthProfile | None
    tasks: Mapping[str, Mapping[str, float]]
    """By task besides depth, then by name; only tasks that the recording has a truth for."""
    iou: Mapping[str, float]
    """By class of the truth space."""
    worst: Mapping[str, Sequence[WorstFrame]]
    """By metric, worst first: `rmse`, `miou`, ... or, without any truth, `label_flicker`."""
    sample_of: Callable[[RecordedFrame], Sample]
    """What is known of a frame; labels are classes of `truth_space`."""
    seconds: Mapping[str, float]
    """What was spent on `reading` (and decoding), `predicting` and `scoring`, and on `writing` where there was some."""
    protocol: Mapping[str, Any]
    notes: Sequence[str]
    hardware: str
    series: tuple[Mapping[str, float], ...] = field(init=False)
    """`FrameResult.values` of all frames."""

    def __post_init__(self) -> None:
        """Work out what follows from the rest."""
        object.__setattr__(self, 'series', tuple(frame.values() for frame in self.frames))

    def column(self, name: str) -> np.ndarray:
        """float64, one per frame: a figure of the series, NaN where a frame does not have it."""
        return np.array([values.get(name, np.nan) for values in self.series], np.float64)

    def summary(self) -> dict[str, float]:
        """Metrics of the whole recording by name, as far as there is something to take them of."""
        return summary_of(self.tasks, self.depth, {name: [self.column(name)] for name in SERIES})

    def speed(self) -> dict[str, float]:
        """Frames per second: of all together, and of reading and decoding the bag alone."""
        count = len(self.frames)
        return {
            'frames_per_second': count / sum(self.seconds.values()),
            'decoding_frames_per_second': count / self.seconds['reading'],
        }


SERIES = ('scale', 'label_flicker', 'depth_flicker', 'label_flicker_compensated', 'depth_flicker_compensated')
"""Figures of frames that the summary of a recording is made of."""


def summary_of(
    tasks: Mapping[str, Mapping[str, float]],
    depth: AlignedMetrics | None,
    series: Mapping[str, Sequence[np.ndarray]],
) -> dict[str, float]:
    """Metrics of one or several recordings by name, as far as there is something to take them of.

    Args:
        tasks: metrics by task, besides depth.
        depth: of all frames.
        series: by name (`SERIES`), for each recording: float N, a figure by frame, NaN where a frame does not have it.
    """
    metrics = {name: value for values in tasks.values() for name, value in values.items()}
    if depth is not None:
        metrics |= depth.compute()['raw'] | scale_metrics(*series['scale'])
    for name in SERIES[1:]:
        known = _known(np.concatenate(series[name]))
        if known.size:
            metrics[name] = float(known.mean())
    return metrics


def scale_metrics(*scales: np.ndarray) -> dict[str, float]:
    """The scale over time and its jitter (`DEFINITIONS`).

    Args:
        scales: for each recording: float N, median of truth / prediction by frame, NaN of a frame without truth; at
            least one is known.
    """
    known = _known(np.concatenate(scales))
    change = np.concatenate([np.abs(np.diff(_known(recording))) for recording in scales])
    return {
        'scale': float(np.median(known)),
        'scale_std': float(known.std()),
        'scale_change': float(change.mean()) if change.size else np.nan,
    }


def _known(values: np.ndarray) -> np.ndarray:
    return values[~np.isnan(values)]

# SPDX-License-Identifier: Apache-2.0
"""The tasks: one record for each, which holds all that the package has to know of it.

Card, graph, self-test, predictions, training views, losses, evaluation, reports and topics read this table. Losses,
metrics and the last step of the graph are named here and live in registries where they belong:
`training.losses.LOSSES`, `evaluation.metrics.METRICS`, `pipeline.FINISHES`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mtperception.geometry import normals_from_depth, tilt_normals, unit_vectors
from mtperception.input_policy import depth_ratio
from mtperception.labels import IGNORE_INDEX
from mtperception.metric import DEGREE, LARGER, METRE, PERCENT, PIXEL, RECORDING_METRICS, SMALLER, Metric
from mtperception.types import Sample

Zoom = tuple[float, float]
"""Focal lengths of a view, along rows and columns, over those of the training camera."""
NO_ZOOM: Zoom = (1.0, 1.0)

CLASSES, SHARES, METRES, DIRECTIONS = 'classes', 'shares', 'metres', 'directions'
"""What a map holds, which decides how it is resized, compared, and converted to the camera: class indices; shares of
255; lengths along the optical axis, which the camera scales; unit vectors, which it tilts."""


@dataclass(frozen=True)
class GraphOutput:
    """One output of an exported graph."""

    name: str
    """Name of the tensor, of a backend's map, and of a prediction's map (`types.Prediction.map`)."""
    dtype: str
    channels: int
    """1: the map is N,H,W; else N,H,W,channels."""
    kind: str
    """CLASSES, SHARES, METRES or DIRECTIONS."""


@dataclass(frozen=True)
class Target:
    """What a network is to say, out of a sample."""

    needs: tuple[str, ...]
    """The fields of a `types.Sample` that it is made of."""
    read: Callable[[Sample, Zoom, int], np.ndarray]
    """Makes the map, H,W or H,W,C, of the sample, for a view whose focal ratios are the second argument
    (`input_policy`). The third is the width in pixels of the windows that planes are fitted over."""
    invalid: int
    """What pixels without truth hold, in every channel."""
    dtype: str
    channels: int
    mirror: tuple[float, ...] = (1.0,)
    """Factor of each channel in a mirrored view."""
    description: str = ''
    """What it is, for protocols, with `{window}` for the third argument of `read`. Empty: they say nothing of it."""

    def is_in(self, sample: Sample) -> bool:
        """Whether a sample has what it is made of."""
        return all(getattr(sample, name) is not None for name in self.needs)


@dataclass(frozen=True)
class Measure:
    """A running sum that computes some of a task's metrics."""

    accumulator: str
    """A key of `evaluation.metrics.METRICS`."""
    outputs: tuple[str, ...]
    """The maps of a prediction that it compares with the target, in the order of its `update`."""
    metrics: Mapping[str, Metric]
    """By name, in the order of what it computes."""


@dataclass(frozen=True)
class Task:
    """All that there is to know of a task."""

    name: str
    """The key of the network's raw output, of the target and of the loss."""
    outputs: tuple[GraphOutput, ...]
    """What the graph gives for it, in order. The first is what the target is the truth of."""
    finish: str
    """A key of `pipeline.FINISHES`: how the raw output becomes the graph's outputs."""
    target: Target
    measures: tuple[Measure, ...]
    """What it is measured by; the first metric of the first is the one to choose models by."""
    loss: str
    """A key of `training.losses.LOSSES`: the one to take where none is named."""
    raw_channels: int | None
    """Channels of the network's raw output; None: one for each class of the label space."""
    about: str = ''
    """The task whose output it judges: no network has it without that one. Empty: it stands by itself."""

    @property
    def has_classes(self) -> bool:
        """Whether it chooses among the classes of a label space, rather than measuring something."""
        return self.raw_channels is None

    @property
    def stored(self) -> str:
        """The field of a sample, and key of `dataset.json`, that holds its truth as it is; '' if that is computed."""
        name = self.outputs[0].name
        return name if self.target.needs == (name,) else ''

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """Its metrics, by name."""
        return {name: metric for measure in self.measures for name, metric in measure.metrics.items()}

    @property
    def main_metric(self) -> str:
        """The metric to choose models by."""
        return next(iter(self.metrics))


def _labels(sample: Sample, zoom: Zoom, window: int) -> np.ndarray:
    return sample.labels


def _depth(sample: Sample, zoom: Zoom, window: int) -> np.ndarray:
    return sample.depth if zoom == NO_ZOOM else sample.depth / np.float32(depth_ratio(*zoom))


def _normals(sample: Sample, zoom: Zoom, window: int) -> np.ndarray:
    """Those that the training camera would see: what `geometry.tilt_normals` undoes."""
    normals = normals_from_depth(sample.depth, sample.intrinsics, window)
    if zoom == NO_ZOOM:
        return normals
    return unit_vectors(tilt_normals(normals, 1 / zoom[0], 1 / zoom[1]))


SEGMENTATION = Task(
    name='segmentation',
    outputs=(GraphOutput('labels', 'uint8', 1, CLASSES), GraphOutput('confidence', 'uint8', 1, SHARES)),
    finish='classes',
    target=Target(('labels',), _labels, IGNORE_INDEX, 'uint8', 1),
    measures=(
        Measure(
            'classes',
            ('labels',),
            {
                'miou': Metric(LARGER, PERCENT, 'mIoU', headline=True),
                'pixel_accuracy': Metric(LARGER, PERCENT, headline=True),
                'mean_accuracy': Metric(LARGER, PERCENT),
            },
        ),
        Measure('calibration', ('labels', 'confidence'), {'ece': Metric(SMALLER, PERCENT)}),
    ),
    loss='cross_entropy',
    raw_channels=None,
)

DEPTH = Task(
    name='depth',
    outputs=(GraphOutput('depth', 'float32', 1, METRES),),
    finish='metres',
    target=Target(
        ('depth',), _depth, 0, 'float32', 1, description='metres along the optical axis, as the data set gives it'
    ),
    measures=(
        Measure(
            'metres',
            ('depth',),
            {
                'rmse': Metric(SMALLER, METRE, 'RMSE', headline=True),
                'rmse_per_image': Metric(SMALLER, METRE),
                'rmse_log': Metric(SMALLER),
                'abs_err': Metric(SMALLER, METRE),
                'abs_rel': Metric(SMALLER, headline=True),
                'sq_rel': Metric(SMALLER, METRE),
                'delta1': Metric(LARGER, PERCENT, headline=True),
                'delta2': Metric(LARGER, PERCENT),
                'delta3': Metric(LARGER, PERCENT),
                'silog': Metric(SMALLER),
            },
        ),
        Measure(
            'edges',
            ('depth',),
            {
                'rmse_edges': Metric(SMALLER, METRE),
                'dbe_acc': Metric(SMALLER, PIXEL),
                'dbe_comp': Metric(SMALLER, PIXEL),
            },
        ),
    ),
    loss='berhu',
    raw_channels=1,
)

NORMALS = Task(
    name='normals',
    outputs=(GraphOutput('normals', 'float32', 3, DIRECTIONS),),
    finish='directions',
    target=Target(
        ('depth', 'intrinsics'),
        _normals,
        0,
        'float32',
        3,
        mirror=(-1.0, 1.0, 1.0),
        description='planes fitted to the true depth over {window} pixels',
    ),
    measures=(
        Measure(
            'directions',
            ('normals',),
            {
                'angle_mean': Metric(SMALLER, DEGREE, 'mean angle', headline=True),
                'angle_median': Metric(SMALLER, DEGREE),
                **dict.fromkeys(('within_11_25', 'within_22_5', 'within_30'), Metric(LARGER, PERCENT)),
            },
        ),
    ),
    loss='dot_product',
    raw_channels=3,
)

DEPTH_CONFIDENCE = Task(
    name='depth_confidence',
    outputs=(GraphOutput('depth_confidence', 'uint8', 1, SHARES),),
    finish='error_scale',
    target=DEPTH.target,
    measures=(Measure('surest', ('depth', 'depth_confidence'), {'rmse_surest_70': Metric(SMALLER, METRE)}),),
    loss='laplace',
    raw_channels=2,
    about='depth',
)

TASKS: dict[str, Task] = {task.name: task for task in (SEGMENTATION, DEPTH, NORMALS, DEPTH_CONFIDENCE)}
"""By name, in the order in which graphs have their outputs."""


def in_order(tasks: Iterable[str]) -> list[Task]:
    """The records of some tasks, in the table's order, whatever the order they are named in."""
    named = set(tasks)
    return [task for name, task in TASKS.items() if name in named]


def graph_outputs(tasks: Iterable[str]) -> list[GraphOutput]:
    """The outputs, in order, of the graph of a network that has these tasks."""
    return [output for task in in_order(tasks) for output in task.outputs]


def graph_output(name: str) -> GraphOutput:
    """What is known of an output of a graph.

    Raises:
        KeyError: if no task has it.
    """
    return {output.name: output for output in graph_outputs(TASKS)}[name]


def with_scaled_lengths(maps: Mapping[str, np.ndarray], factor: float) -> dict[str, np.ndarray]:
    """Maps by the name of the graph's output, those in metres multiplied by a factor."""
    lengths = {output.name for output in graph_outputs(TASKS) if output.kind == METRES}
    return {name: map_ * np.float32(factor) if name in lengths else map_ for name, map_ in maps.items()}


def metrics_of(tasks: Sequence[str]) -> list[str]:
    """The metrics that tasks are measured by, task after task."""
    return [metric for task in tasks for metric in TASKS[task].metrics]


def task_measured_by(metric: str) -> Task:
    """The task that a metric is one of.

    Raises:
        KeyError: if there is none.
    """
    return {name: task for task in TASKS.values() for name in task.metrics}[metric]


def metrics_by_name() -> dict[str, Metric]:
    """Every metric: those of tasks, in the table's order, then those of recordings."""
    return {name: metric for task in TASKS.values() for name, metric in task.metrics.items()} | RECORDING_METRICS


def metric_of(name: str) -> Metric:
    """What is known of a metric of a task or of recordings.

    Raises:
        KeyError: if there is none of that name.
    """
    return metrics_by_name()[name]


def larger_is_better(metric: str) -> bool:
    """Whether a metric is a score, such as an accuracy; smaller is better for an error, such as a distance.

    Raises:
        KeyError: if there is no such metric.
    """
    return metric_of(metric).better == LARGER

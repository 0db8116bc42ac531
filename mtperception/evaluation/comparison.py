# SPDX-License-Identifier: Apache-2.0
"""What of a prediction and of the truth can be compared, and how."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtperception.errors import InputError
from mtperception.evaluation.metrics import METRICS
from mtperception.evaluation.running_sum import RunningSum
from mtperception.labels import LabelSpace
from mtperception.tasks import NO_ZOOM, TASKS, in_order
from mtperception.types import Prediction, Sample

NORMALS_WINDOW = 9
"""Pixels of the windows that true normals are fitted over, unless another number is asked for."""


@dataclass(frozen=True)
class LabelMapping:
    """How the classes of a model become those of a data set."""

    table: np.ndarray
    """uint8 256: class of the data set by class of the model; 255 for what the data set does not have."""
    description: str
    """In words, for the protocol."""
    is_grouping: bool = False
    """Whether several classes of the model become one: how sure the model is of a class says less than that of it."""


def map_labels(model: LabelSpace, classes: tuple[int, int], truth: LabelSpace) -> LabelMapping:
    """How to compare the labels of a model with those of a data set.

    Args:
        model: label space of the model.
        classes: first class and end of the slice of it that the model chooses among.
        truth: label space of the data set: the model's own, one that the model's is grouped into, or one whose classes
            the model's has by the same names, as `nyuv2_kitti_46` has those of `nyuv2_40`. Finer ones, which are
            grouped into the model's, become those first (`GroupedTruth`).

    Raises:
        ValueError: if it is none of these, or the model never gives one of its classes.
    """
    if truth.name in model.groupings:
        description = f'{model.name} grouped into {truth.name}; no ece: the confidence is that of a class in its group'
        return LabelMapping(model.grouping(truth.name), description, is_grouping=True)
    first, end = classes
    missing = [name for name in truth.names if name not in model.names[first:end]]
    if missing:
        chosen = model.name if (first, end) == (0, len(model)) else f'{model.name}, classes {first} to {end - 1}'
        raise InputError(
            f'labels of {truth.name} with a model of {chosen}: no class {", ".join(missing)}: expected a data set of '
            f'{", ".join((model.name, *model.groupings))}, or of classes that the model gives by the same names'
        )
    same = model.names == truth.names
    return LabelMapping(model.by_name(truth), truth.name if same else f'{truth.name}, by name of {model.name}')


@dataclass(frozen=True)
class Comparison:
    """Compares predictions with samples; it keeps nothing.

    Args:
        tasks: of the model.
        mapping: of its labels; None if model or data set have none.
        num_classes: of the data set.
        normals_window: pixels of the windows that the true normals are fitted over.
    """

    tasks: Sequence[str]
    mapping: LabelMapping | None
    num_classes: int
    normals_window: int

    def truths(self) -> dict[str, str]:
        """By task: what its truth is, where the table of tasks says that; for the protocol."""
        targets = {task.name: task.target for task in in_order(self.tasks) if not task.about}
        described = {name: target.description for name, target in targets.items() if target.description}
        return {name: text.format(window=self.normals_window) for name, text in described.items()}

    def in_common(self, sample: Sample) -> list[str]:
        """Tasks of the model that a sample has the truth for. True normals need depth and a camera."""
        return [
            task.name
            for task in in_order(self.tasks)
            if task.target.is_in(sample) and (self.mapping is not None or not task.has_classes)
        ]

    def score(self, task: str, prediction: Prediction, sample: Sample) -> dict[str, RunningSum]:
        """The sums over one image, by accumulator, for one of the tasks `in_common`; of the confidence of classes none,
        where these are grouped.

        Raises:
            ValueError: if the maps of prediction and truth differ in size, or are not what they should be.
        """
        record = TASKS[task]
        truth = record.target.read(sample, NO_ZOOM, self.normals_window)
        maps = {name: prediction.map(name) for measure in record.measures for name in measure.outputs}
        if record.has_classes:
            labels = record.outputs[0].name
            maps[labels] = self.mapping.table[maps[labels]]
        sums = {}
        for measure in record.measures:
            sums[measure.accumulator] = METRICS[measure.accumulator](self.num_classes)
            if record.has_classes and self.mapping.is_grouping and len(measure.outputs) > 1:
                continue
            sums[measure.accumulator].update(*(maps[name] for name in measure.outputs), truth)
        return sums

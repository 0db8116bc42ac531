# SPDX-License-Identifier: Apache-2.0
"""Run a model over a data set and say how good it is, with the protocol that it was measured by."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mtperception.data import Dataset, DatasetError
from mtperception.errors import InputError
from mtperception.evaluation.comparison import NORMALS_WINDOW, Comparison, map_labels
from mtperception.evaluation.depth_profile import DepthProfile
from mtperception.evaluation.grouped_truth import GroupedTruth
from mtperception.evaluation.paper_protocols import compute_figures, find_protocol, predict, tasks_to_measure
from mtperception.evaluation.protocol import Setting, protocol_of, setting_of
from mtperception.evaluation.protocol_samples import as_in_protocol
from mtperception.evaluation.scores import ImageScore, Scores
from mtperception.labels import LabelSpace, load_label_space
from mtperception.predictor import BackendPredictor


@dataclass(frozen=True)
class Evaluation:
    """What a model achieved on a data set."""

    model: str
    """Its name."""
    frames: int
    """Images that had a truth to compare with."""
    metrics: Mapping[str, Mapping[str, float]]
    """By task, then by name (`metrics.py`); only tasks that model and data set have in common."""
    label_space: LabelSpace | None
    """Label space of the data set; this and what follows are None if no labels were compared."""
    confusion: np.ndarray | None
    """int64 C,C: pixels by true class (row) and predicted class (column)."""
    iou: Mapping[str, float]
    """IoU by class name, 0..1; NaN for a class that neither prediction nor truth has."""
    depth_profile: DepthProfile | None
    """Error by distance; None if no depth was compared."""
    images: tuple[ImageScore, ...]
    """In the order of the data set."""
    failed: Mapping[str, str]
    """Why an image could not be used, by id; they count nowhere."""
    protocol: Mapping[str, Any]
    """How it was measured: text, numbers and lists of them."""
    hardware: str
    paper: str
    """The protocol of a paper that was followed: a key of `PROTOCOLS`, or empty."""
    figures: Mapping[str, float]
    """What the paper's tables would say, by its names; empty without one."""

    def summary(self) -> dict[str, float]:
        """The metrics of all tasks by name: no two have the same."""
        return summarize(self.metrics)

    def worst(self, metric: str, count: int, *, largest: bool) -> list[ImageScore]:
        """The images with the largest or smallest values of a metric, worst first; images without it left out."""
        scored = [image for image in self.images if not np.isnan(image.metrics.get(metric, np.nan))]
        return sorted(scored, key=lambda image: image.metrics[metric], reverse=largest)[:count]


def summarize(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The metrics of all tasks by name: no two have the same."""
    return {name: value for values in metrics.values() for name, value in values.items()}


class Evaluator:
    """Compares predictions of a model with the samples of a data set.

    Args:
        predictor: the model. If a sample has a camera, depth is scaled to it.
        dataset: images and truth.
        normals_window: pixels of the windows that true normals are fitted over, odd.
        paper: the protocol of a paper to follow: a key of `PROTOCOLS`; empty: none.
        tasks: to measure, of the model's; by default all.

    Raises:
        DatasetError: if the data set is empty.
        ValueError: if the label spaces cannot be compared (`map_labels`), the predictor does not give maps of the size
            of the image, the window is even or too small, or model or data set cannot answer the protocol.
    """

    def __init__(
        self,
        predictor: BackendPredictor,
        dataset: Dataset,
        normals_window: int = NORMALS_WINDOW,
        paper: str = '',
        tasks: Collection[str] | None = None,
    ) -> None:
        if predictor.output_size != 'input':
            raise InputError(
                f'predictor with output_size {predictor.output_size!r}: expected input, the size of the truth'
            )
        if normals_window < 3 or normals_window % 2 == 0:
            raise InputError(f'normals_window of {normals_window} pixels: expected an odd number from 3 on')
        if not len(dataset):
            raise DatasetError('no samples to evaluate: expected at least one')
        self.predictor = predictor
        self._protocol = find_protocol(paper)
        measured = tasks_to_measure(paper, predictor.card.tasks)
        tasks = [task for task in measured if tasks is None or task in tasks]
        if paper and 'segmentation' in tasks and not dataset.label_space:
            raise InputError(f'protocol {paper} measures labels: expected a data set that has some')
        self._dataset = GroupedTruth(as_in_protocol(dataset, self._protocol), predictor.label_space)
        space, self._comparison = _comparison(predictor, tasks, self._dataset, normals_window)
        self.setting = setting_of(predictor, space, self._comparison, paper)

    def scores(
        self, positions: Iterable[int], *, skip_bad: bool = False, on_image: Callable[[int], None] = lambda done: None
    ) -> Scores:
        """The scores of some samples.

        Args:
            positions: of the samples.
            skip_bad: note samples that cannot be used in `Scores.failed` and go on.
            on_image: called with the number of images done, after each one.

        Raises:
            DatasetError: if a sample cannot be read, without `skip_bad`.
            ValueError: if one cannot be compared, without `skip_bad`.
        """
        scores = self.setting.no_scores()
        for done, index in enumerate(positions, 1):
            try:
                self._add(scores, index)
            except ValueError as error:
                if not skip_bad:
                    raise
                scores.failed[self._dataset.ids[index]] = str(error)
            on_image(done)
        return scores

    def _add(self, scores: Scores, index: int) -> None:
        """Predict one image and add its scores; nothing if no task is in common."""
        name = self._dataset.ids[index]
        try:
            sample = self._dataset[index]
        except ValueError as error:
            raise DatasetError(f'sample {name}: {error}: repair it or remove its id from the split') from error
        tasks = self._comparison.in_common(sample)
        if self._protocol and (missing := [task for task in self.setting.tasks if task not in tasks]):
            raise InputError(f'sample {name}: no truth for {", ".join(missing)}, which {self.setting.paper} measures')
        if not tasks:
            return
        try:
            prediction = predict(self._protocol, self.predictor, sample)
            sums = [self._comparison.score(task, prediction, sample) for task in tasks]
        except ValueError as error:
            raise InputError(f'sample {name}: {error}') from error
        scores.add(index, name, sample, prediction, {key: value for task in sums for key, value in task.items()})


def evaluate(
    predictor: BackendPredictor,
    dataset: Dataset,
    *,
    selection: Mapping[str, Any] | None = None,
    normals_window: int = NORMALS_WINDOW,
    paper: str = '',
    tasks: Collection[str] | None = None,
    skip_bad: bool = False,
    on_image: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Compare predictions with the truth, at the truth's full resolution, for all tasks that both have.

    The protocol of a paper may want another size, other classes or fewer tasks.

    Args:
        predictor: the model. If a sample has a camera, depth is scaled to it.
        dataset: images and truth.
        selection: what the protocol is to say of where the images are from: data set, split.
        normals_window: pixels of the windows that true normals are fitted over, odd.
        paper: as for `Evaluator`.
        tasks: as for `Evaluator`.
        skip_bad: leave out samples that cannot be used, and say so in `Evaluation.failed`.
        on_image: called with the number of images done, after each one.

    Raises:
        DatasetError: if the data set is empty or, without `skip_bad`, a sample cannot be used, or no sample has a truth
            for any of the model's tasks.
        ValueError: as `Evaluator`.
    """
    evaluator = Evaluator(predictor, dataset, normals_window, paper, tasks)
    scores = evaluator.scores(range(len(dataset)), skip_bad=skip_bad, on_image=on_image)
    return conclude(evaluator.setting, scores, {**(selection or {}), 'images': len(dataset)})


def conclude(setting: Setting, scores: Scores, selection: Mapping[str, Any]) -> Evaluation:
    """What the scores of all images say.

    Args:
        setting: in which they came about.
        scores: of the whole data set.
        selection: what the protocol is to say of where the images are from.

    Raises:
        DatasetError: if there are none.
    """
    if not scores.images:
        tasks = ', '.join(setting.tasks)
        bad = f'; {len(scores.failed)} cannot be used: {next(iter(scores.failed.values()))}' if scores.failed else ''
        raise DatasetError(
            f'nothing to compare: no sample of the {selection["images"]} has a truth for a task of {setting.model} '
            f'({tasks}){bad}'
        )
    segmentation = scores.totals.get('classes')
    protocol = find_protocol(setting.paper)
    metrics = scores.metrics()
    space = load_label_space(setting.label_space) if segmentation else None
    return Evaluation(
        model=setting.model,
        frames=len(scores.images),
        metrics=metrics,
        label_space=space,
        confusion=segmentation.confusion if segmentation else None,
        iou=dict(zip(space.names, segmentation.iou.tolist(), strict=True)) if segmentation else {},
        depth_profile=scores.depth_profile if 'metres' in scores.totals else None,
        images=tuple(sorted(scores.images, key=lambda image: image.index)),
        failed=scores.failed,
        protocol={**selection, **protocol_of(setting, scores)},
        hardware=setting.hardware,
        paper=setting.paper,
        figures=compute_figures(protocol, summarize(metrics), scores.images) if protocol else {},
    )


def _comparison(
    predictor: BackendPredictor, tasks: list[str], dataset: GroupedTruth, normals_window: int
) -> tuple[LabelSpace | None, Comparison]:
    """The label space of the truth and how it is compared with; None if one side has no labels."""
    card = predictor.card
    space, mapping = None, None
    if 'segmentation' in tasks and dataset.label_space:
        space = load_label_space(dataset.label_space)
        mapping = map_labels(predictor.label_space, card.classes, space)
        mapping = replace(mapping, description=dataset.description or mapping.description)
    return space, Comparison(tasks, mapping, len(space) if space else 0, normals_window)

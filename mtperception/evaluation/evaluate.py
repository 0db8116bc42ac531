"""Run a model over a data set and say how good it is, with the protocol that it was measured by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from mtperception.card import TASKS
from mtperception.data import Dataset, DatasetError
from mtperception.evaluation.comparison import Comparison, Metrics, map_labels
from mtperception.evaluation.depth_profile import DepthProfile
from mtperception.hardware import describe_hardware
from mtperception.labels import LabelSpace, load_label_space
from mtperception.predictor import BackendPredictor
from mtperception.types import Sample

NORMALS_WINDOW = 9
"""Pixels: default of the windows that true normals are fitted over."""


@dataclass(frozen=True)
class ImageScore:
    """The metrics of one image."""

    index: int
    """Position in the data set."""
    id: str
    metrics: Mapping[str, float]
    """By name; those of tasks that the image has no truth for are missing."""


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
    """Of the data set; None if no labels were compared, and so for what follows."""
    confusion: np.ndarray | None
    """int64 C,C: pixels by true class (row) and predicted class (column)."""
    iou: Mapping[str, float]
    """Of each class by its name, 0..1; NaN of a class that neither prediction nor truth has."""
    depth_profile: DepthProfile | None
    """Error by distance; None if no depth was compared."""
    images: tuple[ImageScore, ...]
    """In the order of the data set."""
    protocol: Mapping[str, Any]
    """How it was measured: text, numbers and lists of them."""
    hardware: str

    def summary(self) -> dict[str, float]:
        """The metrics of all tasks by name: no two have the same."""
        return {name: value for metrics in self.metrics.values() for name, value in metrics.items()}

    def worst(self, metric: str, count: int, *, largest: bool) -> list[ImageScore]:
        """The images with the largest or smallest values of a metric, worst first; images without it left out."""
        scored = [image for image in self.images if not np.isnan(image.metrics.get(metric, np.nan))]
        return sorted(scored, key=lambda image: image.metrics[metric], reverse=largest)[:count]


def evaluate(
    predictor: BackendPredictor,
    dataset: Dataset,
    *,
    selection: Mapping[str, Any] | None = None,
    normals_window: int = NORMALS_WINDOW,
    on_image: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Compare predictions with the truth, at the truth's full resolution, for all tasks that both have.

    Args:
        predictor: the model. If a sample has a camera, depth is scaled to it.
        dataset: images and truth.
        selection: what the protocol is to say of where the images are from: data set, split.
        normals_window: pixels of the windows that true normals are fitted over, odd.
        on_image: called with the number of images done, after each one.

    Raises:
        DatasetError: if the data set is empty or a sample cannot be used, or no sample has a truth for any of the
            model's tasks.
        ValueError: if the label spaces cannot be compared (`map_labels`), the predictor does not give maps of the size
            of the image, or the window is even or too small.
    """
    if predictor.output_size != 'input':
        raise ValueError(f'predictor with output_size {predictor.output_size!r}: expected input, the size of the truth')
    if normals_window < 3 or normals_window % 2 == 0:
        raise ValueError(f'normals_window of {normals_window} pixels: expected an odd number from 3 on')
    if not len(dataset):
        raise DatasetError('no samples to evaluate: expected at least one')
    space, comparison = _comparison(predictor, dataset, normals_window)
    run = _Run(predictor, comparison)
    for index, name in enumerate(dataset.ids):
        try:
            sample = dataset[index]
        except ValueError as error:
            raise DatasetError(f'sample {name}: {error}: mend it or take its id off the list of the split') from error
        try:
            run.add(index, name, sample)
        except ValueError as error:
            raise ValueError(f'sample {name}: {error}') from error
        on_image(index + 1)
    if not run.images:
        raise DatasetError(
            f'nothing to compare: no sample of the {len(dataset)} has a truth for a task of {predictor.card.name} '
            f'({", ".join(predictor.card.tasks)})'
        )
    segmentation = run.totals.get('segmentation')
    return Evaluation(
        model=predictor.card.name,
        frames=len(run.images),
        metrics={task: run.totals[task].compute() for task in TASKS if task in run.totals},
        label_space=space if segmentation else None,
        confusion=segmentation.confusion if segmentation else None,
        iou=dict(zip(space.names, segmentation.iou.tolist(), strict=True)) if segmentation else {},
        depth_profile=run.depth_profile if 'depth' in run.totals else None,
        images=tuple(run.images),
        protocol={**(selection or {}), 'images': len(dataset), **run.protocol()},
        hardware=describe_hardware(),
    )


def _comparison(
    predictor: BackendPredictor, dataset: Dataset, normals_window: int
) -> tuple[LabelSpace | None, Comparison]:
    """The label space of the truth and how it is compared with; None if one side has no labels."""
    card = predictor.card
    space, mapping = None, None
    if 'segmentation' in card.tasks and dataset.label_space:
        space = load_label_space(dataset.label_space)
        mapping = map_labels(predictor.label_space, card.classes, space)
    return space, Comparison(card.tasks, mapping, len(space) if space else 0, normals_window)


class _Run:
    """What is known so far: sums, scores, and facts for the protocol."""

    def __init__(self, predictor: BackendPredictor, comparison: Comparison) -> None:
        self._predictor = predictor
        self._comparison = comparison
        self.totals: dict[str, Metrics] = {}
        self.images: list[ImageScore] = []
        self.depth_profile = DepthProfile(predictor.card.depth_range[1])
        self._sizes: set[tuple[int, int]] = set()
        self._with_camera = 0
        self._depth_pixels = np.zeros(2, np.int64)

    def add(self, index: int, name: str, sample: Sample) -> None:
        """Predict one image and add its scores; nothing if no task is in common."""
        tasks = self._comparison.in_common(sample)
        if not tasks:
            return
        prediction = self._predictor(sample.image, sample.intrinsics)
        scores = {task: self._comparison.score(task, prediction, sample) for task in tasks}
        values = {key: value for metrics in scores.values() for key, value in metrics.compute().items()}
        self.images.append(ImageScore(index, name, values))
        for task, metrics in scores.items():
            if task in self.totals:
                self.totals[task].merge(metrics)
            else:
                self.totals[task] = metrics
        self._sizes.add(sample.image.shape[1::-1])
        self._with_camera += sample.intrinsics is not None
        if 'depth' in scores:
            self.depth_profile.update(prediction.depth, sample.depth)
            self._depth_pixels += np.count_nonzero(sample.valid_mask), sample.depth.size

    def protocol(self) -> dict[str, Any]:
        """How it was measured."""
        predictor, mapping = self._predictor, self._comparison.mapping
        facts = {
            'resolution': [f'{width}x{height}' for width, height in sorted(self._sizes)],
            'network_size': list(predictor.network_size),
            'scales': 'one, not mirrored',
        }
        if 'segmentation' in self.totals:
            first, end = predictor.card.classes
            facts['labels'] = mapping.description
            facts['classes'] = f'chosen among {first} to {end - 1} of {predictor.label_space.name}'
            facts['ignored'] = 'unlabelled pixels (255); classes absent from prediction and truth'
        if 'depth' in self.totals:
            known, pixels = self._depth_pixels.tolist()
            facts['depth'] = (
                f'metres along the optical axis, as the data set gives it, on {known / pixels:.1%} of pixels'
            )
            facts['depth_range'] = list(predictor.card.depth_range)
            facts['depth_clamp'] = 'the prediction, to depth_range; not the truth'
            facts['focal_scale'] = self._focal_scale()
        if 'normals' in self.totals:
            facts['normals'] = f'planes fitted to the true depth over {self._comparison.normals_window} pixels'
        backend = predictor.backend
        return {**facts, 'backend': f'{backend.name} on {backend.device}, {backend.precision}'}

    def _focal_scale(self) -> str:
        if self._predictor.depth_scale_mode == 'none' or not self._with_camera:
            return 'none'
        if self._with_camera == len(self.images):
            return "by the camera of the data set and the model's"
        return f"by the camera of the data set and the model's for {self._with_camera} images, which have one"

# SPDX-License-Identifier: Apache-2.0
"""A folder with a page about an evaluation: figures, protocol, plots and the worst images. It needs nothing else.

index.html          the page; its pictures by relative paths, no scripts
plots/NAME.png
images/N_KIND.*     of the sample at position N: image, prediction and truth of labels or depth
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mtperception.atomic_write import atomic_entries
from mtperception.data import Dataset
from mtperception.evaluation.comparison import map_labels
from mtperception.evaluation.evaluate import Evaluation
from mtperception.evaluation.grouped_truth import GroupedTruth
from mtperception.evaluation.page import EVALUATION_PAGE, hex_colors, render
from mtperception.evaluation.paper_protocols import find_protocol, predict
from mtperception.evaluation.plots import (
    plot_confusion,
    plot_depth_errors,
    plot_error_by_distance,
    plot_image_scores,
    save_plot,
)
from mtperception.evaluation.protocol_samples import as_in_protocol
from mtperception.evaluation.scores import ImageScore
from mtperception.geometry import is_valid
from mtperception.media import write_image
from mtperception.predictor import BackendPredictor
from mtperception.types import Prediction, Sample
from mtperception.visualization import colorize_depth, colorize_labels

WORST = 8
"""Images that are shown by each metric."""


@dataclass(frozen=True)
class _Gallery:
    """Worst images by one metric: what is compared, and which end of the metric is the bad one."""

    task: str
    metric: str
    title: str
    largest: bool


_GALLERIES = (
    _Gallery('segmentation', 'miou', 'Worst images by mIoU', largest=False),
    _Gallery('depth', 'rmse', 'Worst images by RMSE', largest=True),
)


def write_report(evaluation: Evaluation, predictor: BackendPredictor, dataset: Dataset, out: Path) -> None:
    """Write the folder, whole or not at all; the worst images are read and predicted once more for it.

    Args:
        evaluation: of this predictor on this data set.
        predictor: see there.
        dataset: see there.
        out: the folder, made if need be; what an earlier report wrote is replaced, other files in it stay.

    Raises:
        DatasetError: if an image can no longer be read.
        WriteError: if it cannot be written.
    """
    with atomic_entries(out) as part:
        for folder in ('plots', 'images'):
            (part / folder).mkdir()
        pictures = _Pictures(predictor, dataset, evaluation)
        page = render(
            EVALUATION_PAGE,
            title=f'{evaluation.model}: evaluation',
            heading=evaluation.model,
            frames=evaluation.frames,
            hardware=evaluation.hardware,
            metrics=evaluation.metrics,
            paper=evaluation.paper,
            figures=evaluation.figures,
            protocol=evaluation.protocol,
            classes=_classes(evaluation),
            plots=[save_plot(part, name, title, figure) for name, title, figure in _plots(evaluation)],
            galleries=[
                _write_gallery(gallery, evaluation, pictures, part)
                for gallery in _GALLERIES
                if gallery.task in evaluation.metrics
            ],
        )
        (part / 'index.html').write_text(page, encoding='utf-8')


def _classes(evaluation: Evaluation) -> list[dict[str, Any]]:
    if evaluation.label_space is None:
        return []
    return [
        {'name': name, 'iou': None if math.isnan(iou) else iou, 'color': color}
        for (name, iou), color in zip(evaluation.iou.items(), hex_colors(evaluation.label_space), strict=True)
    ]


def _plots(evaluation: Evaluation) -> Iterator[tuple[str, str, Figure]]:
    """Name, title and figure of each plot that there is something for."""
    if evaluation.confusion is not None:
        yield 'confusion', 'Confusion', plot_confusion(evaluation.confusion, evaluation.label_space)
    if evaluation.depth_profile is not None:
        yield 'error_by_distance', 'Depth error by distance', plot_error_by_distance(evaluation.depth_profile)
        yield 'depth_errors', 'Depth errors of all pixels', plot_depth_errors(evaluation.depth_profile)
    for metric, label in (('miou', 'mIoU'), ('rmse', 'RMSE in metres'), ('angle_mean', 'mean angle in degrees')):
        values = [image.metrics[metric] for image in evaluation.worst(metric, evaluation.frames, largest=True)]
        if values:
            yield f'images_{metric}', f'{label} by image', plot_image_scores(values, label)


def _write_gallery(gallery: _Gallery, evaluation: Evaluation, pictures: '_Pictures', out: Path) -> dict[str, Any]:
    images = evaluation.worst(gallery.metric, WORST, largest=gallery.largest)
    return {
        'title': gallery.title,
        'caption': 'image | prediction | truth',
        'metric': gallery.metric,
        'images': [
            {'id': score.id, 'value': score.metrics[gallery.metric], 'paths': pictures.write(gallery.task, score, out)}
            for score in images
        ],
    }


class _Pictures:
    """Makes the pictures of samples."""

    def __init__(self, predictor: BackendPredictor, dataset: Dataset, evaluation: Evaluation) -> None:
        self._predictor = predictor
        self._protocol = find_protocol(evaluation.paper)
        self._dataset = GroupedTruth(as_in_protocol(dataset, self._protocol), predictor.label_space)
        self._space = evaluation.label_space
        if self._space is not None:
            self._mapping = map_labels(predictor.label_space, predictor.card.classes, self._space)

    def write(self, task: str, score: ImageScore, out: Path) -> list[str]:
        """Write image, prediction and truth of a task; returns their paths relative to `out`."""
        sample = self._dataset[score.index]
        prediction = predict(self._protocol, self._predictor, sample)
        draw = self._labels if task == 'segmentation' else self._depth
        predicted, truth = draw(prediction, sample)
        pictures = {'image.jpg': sample.image, f'{task}.png': predicted, f'{task}_truth.png': truth}
        paths = [f'images/{score.index}_{name}' for name in pictures]
        for path, picture in zip(paths, pictures.values(), strict=True):
            write_image(out / path, picture)
        return paths

    def _labels(self, prediction: Prediction, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        predicted = self._mapping.table[prediction.labels]
        return colorize_labels(predicted, self._space), colorize_labels(sample.labels, self._space)

    def _depth(self, prediction: Prediction, sample: Sample) -> tuple[np.ndarray, np.ndarray]:
        """Both in the range of the truth, so that equal colours are equal depths."""
        true = sample.depth[is_valid(sample.depth)]
        near, far = float(true.min()), float(true.max())
        far = max(far, near + 0.1)
        return colorize_depth(prediction.depth, near, far), colorize_depth(sample.depth, near, far)

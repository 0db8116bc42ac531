# SPDX-License-Identifier: Apache-2.0
"""A folder with a page about an evaluation: figures, protocol, plots and the worst images. It needs nothing else.

index.html          the page; its pictures by relative paths, no scripts
plots/NAME.png
images/N_KIND.*     of the sample at position N: image, prediction and truth of a task
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mtperception.atomic_write import atomic_entries
from mtperception.data import Dataset
from mtperception.evaluation.comparison import NORMALS_WINDOW, map_labels
from mtperception.evaluation.evaluate import Evaluation
from mtperception.evaluation.grouped_truth import GroupedTruth
from mtperception.evaluation.page import axis_label, class_rows, render, title_of
from mtperception.evaluation.paper_protocols import find_protocol, predict
from mtperception.evaluation.pictures import draw_pair
from mtperception.evaluation.plots import (
    plot_confusion,
    plot_depth_errors,
    plot_error_by_distance,
    plot_image_scores,
    save_plot,
)
from mtperception.evaluation.protocol_samples import as_in_protocol
from mtperception.evaluation.report_folder import check_report_folder
from mtperception.evaluation.scores import ImageScore
from mtperception.media import write_image
from mtperception.predictor import BackendPredictor
from mtperception.tasks import NO_ZOOM, TASKS, Task, larger_is_better

WORST = 8
"""Images that are shown by each metric."""


def write_report(
    evaluation: Evaluation,
    predictor: BackendPredictor,
    dataset: Dataset,
    out: Path,
    normals_window: int = NORMALS_WINDOW,
) -> None:
    """Write the folder, whole or not at all; the worst images are read and predicted once more for it.

    Args:
        evaluation: of this predictor on this data set.
        predictor: see there.
        dataset: see there.
        out: the folder, made if need be; what an earlier report wrote is replaced, other files in it stay.
        normals_window: that the true normals were fitted over.

    Raises:
        InputError: if `out` holds `images`, `plots` or `index.html` that no report wrote.
        DatasetError: if an image can no longer be read.
        WriteError: if it cannot be written.
    """
    check_report_folder(out)
    with atomic_entries(out) as part:
        for folder in ('plots', 'images'):
            (part / folder).mkdir()
        pictures = _Pictures(predictor, dataset, evaluation, normals_window)
        page = render(
            'evaluation',
            title=f'{evaluation.model}: evaluation',
            heading=evaluation.model,
            frames=evaluation.frames,
            hardware=evaluation.hardware,
            metrics=evaluation.metrics,
            paper=evaluation.paper,
            figures=evaluation.figures,
            protocol=evaluation.protocol,
            classes=class_rows(evaluation.iou, evaluation.label_space),
            plots=[save_plot(part, name, title, figure) for name, title, figure in _plots(evaluation)],
            galleries=[
                _write_gallery(TASKS[name], evaluation, pictures, part)
                for name in evaluation.metrics
                if not TASKS[name].about
            ],
        )
        (part / 'index.html').write_text(page, encoding='utf-8')


def _plots(evaluation: Evaluation) -> Iterator[tuple[str, str, Figure]]:
    """Name, title and figure of each plot that there is something for."""
    if evaluation.confusion is not None and evaluation.confusion.any():
        yield 'confusion', 'Confusion', plot_confusion(evaluation.confusion, evaluation.label_space)
    if evaluation.depth_profile is not None:
        yield 'error_by_distance', 'Depth error by distance', plot_error_by_distance(evaluation.depth_profile)
        yield 'depth_errors', 'Depth errors of all pixels', plot_depth_errors(evaluation.depth_profile)
    for metric in (TASKS[name].main_metric for name in evaluation.metrics):
        values = [image.metrics[metric] for image in evaluation.worst(metric, evaluation.frames, largest=True)]
        if values:
            label = axis_label(metric)
            yield f'images_{metric}', f'{label} by image', plot_image_scores(values, label)


def _write_gallery(task: Task, evaluation: Evaluation, pictures: '_Pictures', out: Path) -> dict[str, Any]:
    """The worst images by the main metric of a task."""
    metric = task.main_metric
    images = evaluation.worst(metric, WORST, largest=not larger_is_better(metric))
    return {
        'title': f'Worst images by {title_of(metric)}',
        'caption': 'image | prediction | truth',
        'metric': metric,
        'images': [
            {'id': score.id, 'value': score.metrics[metric], 'paths': pictures.write(task, score, out)}
            for score in images
        ],
    }


class _Pictures:
    """Makes the pictures of samples."""

    def __init__(
        self, predictor: BackendPredictor, dataset: Dataset, evaluation: Evaluation, normals_window: int
    ) -> None:
        self._predictor = predictor
        self._normals_window = normals_window
        self._protocol = find_protocol(evaluation.paper)
        self._dataset = GroupedTruth(as_in_protocol(dataset, self._protocol), predictor.label_space)
        self._space = evaluation.label_space
        if self._space is not None:
            self._mapping = map_labels(predictor.label_space, predictor.card.classes, self._space)

    def write(self, task: Task, score: ImageScore, out: Path) -> list[str]:
        """Write image, prediction and truth of a task; returns their paths relative to `out`."""
        sample = self._dataset[score.index]
        output = task.outputs[0]
        predicted = predict(self._protocol, self._predictor, sample).map(output.name)
        if task.has_classes:
            predicted = self._mapping.table[predicted]
        truth = task.target.read(sample, NO_ZOOM, self._normals_window)
        pair = draw_pair(output, predicted, truth, self._space)
        paths = [f'images/{score.index}_{name}' for name in ('image.jpg', f'{task.name}.png', f'{task.name}_truth.png')]
        for path, picture in zip(paths, (sample.image, *pair), strict=True):
            write_image(out / path, picture)
        return paths

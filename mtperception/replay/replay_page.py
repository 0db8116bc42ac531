# SPDX-License-Identifier: Apache-2.0
"""A folder with a page about a replay: figures, plots over time, worst frames. It needs nothing else.

index.html          the page; its pictures by relative paths, no scripts
plots/NAME.png
images/METRIC_N_*   of the frame at position N: image, prediction and what it is compared with
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mtperception.atomic_write import atomic_entries
from mtperception.evaluation.comparison import NORMALS_WINDOW, map_labels
from mtperception.evaluation.page import class_rows, format_metric, render, title_of
from mtperception.evaluation.pictures import draw_pair
from mtperception.evaluation.plots import plot_depth_errors, plot_error_by_distance, plot_over_time, save_plot
from mtperception.evaluation.report_folder import check_report_folder
from mtperception.media import write_image
from mtperception.metric import RECORDING_METRICS
from mtperception.predictor import BackendPredictor
from mtperception.recording.recording import RecordedFrame, Recording
from mtperception.replay.depth_scores import AlignedMetrics
from mtperception.replay.result import FLICKER, Replay, WorstFrame
from mtperception.tasks import NO_ZOOM, Task, task_measured_by
from mtperception.types import Prediction
from mtperception.visualization import colorize_labels

_GROUPED = ('rmse', 'abs_rel', 'delta1')
"""Metrics in the tables by distance and by class, under each alignment."""


def write_report(
    replay: Replay, topics: Mapping[str, str], predictor: BackendPredictor, recording: Recording, out: Path
) -> None:
    """Write the folder, whole or not at all; the worst frames are read and predicted once more for it.

    Args:
        replay: what to show.
        topics: of the recording, by role.
        predictor: that was replayed.
        recording: that it was replayed on.
        out: the folder, made if need be; what an earlier report wrote is replaced, other files in it stay.

    Raises:
        InputError: if `out` holds `images`, `plots` or `index.html` that no report wrote.
        WriteError: if it cannot be written.
    """
    check_report_folder(out)
    with atomic_entries(out) as part:
        for folder in ('plots', 'images'):
            (part / folder).mkdir()
        pictures = _Pictures(replay, predictor, recording)
        roles = {role.replace('_', ' '): topic or 'none' for role, topic in topics.items()}
        page = render(
            'replay',
            title=f'{replay.model}: replay',
            heading=f'{replay.model} on {replay.protocol["bag"]}',
            frames=len(replay.frames),
            hardware=replay.hardware,
            notes=replay.notes,
            metrics=_groups(replay),
            tables=list(_tables(replay)),
            classes=class_rows(replay.iou, replay.truth_space),
            plots=[save_plot(part, name, title, figure) for name, title, figure in _plots(replay)],
            galleries=[_write_gallery(metric, replay, pictures, part) for metric in replay.worst],
            protocol={**roles, **replay.protocol, **replay.speed()},
        )
        (part / 'index.html').write_text(page, encoding='utf-8')


def depth_rows(groups: Mapping[str, AlignedMetrics]) -> Iterator[list[str]]:
    """Rows of a table by group: name, pixels, and the `_GROUPED` metrics raw, by median, by scale and shift."""
    total = sum(group.pixels for group in groups.values())
    for name, group in groups.items():
        computed = group.compute()
        values = (format_metric(metrics[metric], metric) for metric in _GROUPED for metrics in computed.values())
        yield [name, f'{100 * group.pixels / total:.1f} %', *values]


def depth_columns(replay: Replay) -> list[str]:
    """Columns of `depth_rows` behind the name."""
    return ['pixels', *(f'{metric} {alignment}' for metric in _GROUPED for alignment in replay.depth.by_alignment)]


def _groups(replay: Replay) -> dict[str, dict[str, float]]:
    """The summary under headings."""
    groups: dict[str, dict[str, float]] = {}
    for name, value in replay.summary().items():
        groups.setdefault(_heading(name), {})[name] = value
    return groups


def _heading(metric: str) -> str:
    """Of the group that a metric is shown in."""
    if metric in RECORDING_METRICS:
        return 'flicker' if 'flicker' in metric else 'scale of depth'
    return task_measured_by(metric).name


def _tables(replay: Replay) -> Iterator[dict[str, Any]]:
    if replay.depth is None:
        return
    computed = replay.depth.compute()
    yield {
        'title': 'Depth before and after alignment',
        'columns': list(computed['raw']),
        'rows': [[name, *(format_metric(v, k) for k, v in values.items())] for name, values in computed.items()],
    }
    columns = depth_columns(replay)
    yield {'title': 'Depth by distance', 'columns': columns, 'rows': list(depth_rows(replay.by_band))}
    if replay.by_class:
        yield {'title': 'Depth by predicted class', 'columns': columns, 'rows': list(depth_rows(replay.by_class))}


def _plots(replay: Replay) -> Iterator[tuple[str, str, Figure]]:
    """Name, title and figure of each plot that there is something for."""
    stamps = np.array([frame.stamp_ns for frame in replay.frames], np.int64)
    seconds = (stamps - stamps[0]) / 1e9

    def over_time(label: str, **names: str) -> Figure:
        return plot_over_time(seconds, {text: replay.column(name) for text, name in names.items()}, label)

    if replay.depth is not None:
        lines = {'raw': 'rmse', 'median': 'rmse_median', 'scale and shift': 'rmse_scale_shift'}
        yield 'error', 'Error of depth over time', over_time('RMSE, metres', **lines)
        yield 'scale', 'Scale over time', over_time('truth / prediction', **{'median of the frame': 'scale'})
        yield 'error_by_distance', 'Error by distance', plot_error_by_distance(replay.depth_profile)
        yield 'depth_errors', 'Errors of all pixels', plot_depth_errors(replay.depth_profile)
    for kind, label in (('label', 'share of pixels'), ('depth', 'median relative change')):
        lines = {'plain': f'{kind}_flicker', 'compensated': f'{kind}_flicker_compensated'}
        lines = {text: name for text, name in lines.items() if not np.isnan(replay.column(name)).all()}
        if lines:
            yield f'{kind}_flicker', f'{kind.capitalize()} flicker over time', over_time(label, **lines)


def _write_gallery(metric: str, replay: Replay, pictures: '_Pictures', out: Path) -> dict[str, Any]:
    images = []
    for worst in replay.worst[metric]:
        drawn = pictures.of(metric, worst)
        paths = [f'images/{metric}_{worst.index}_{name}' for name in drawn]
        for path, picture in zip(paths, drawn.values(), strict=True):
            write_image(out / path, picture)
        images.append({'id': f'image {worst.index}', 'value': worst.value, 'paths': paths})
    return {
        'title': f'Worst frames by {title_of(metric)}',
        'metric': metric,
        'caption': _caption(metric),
        'images': images,
    }


def _caption(metric: str) -> str:
    if metric == FLICKER:
        return 'image | predicted labels | labels of the frame before'
    name = task_measured_by(metric).outputs[0].name
    return f'image | predicted {name} | recorded {name}'


class _Pictures:
    """Draws frames."""

    def __init__(self, replay: Replay, predictor: BackendPredictor, recording: Recording) -> None:
        self._replay = replay
        self._mapping = None
        if replay.truth_space is not None:
            self._mapping = map_labels(predictor.label_space, predictor.card.classes, replay.truth_space)
        shown = {index for worst in replay.worst.values() for frame in worst for index in (frame.index, frame.previous)}
        self._frames = {
            frame.index: (frame, predictor(frame.image, frame.intrinsics))
            for frame in recording.frames(positions=shown - {None})
        }

    def of(self, metric: str, worst: WorstFrame) -> dict[str, np.ndarray]:
        """By name of the file: the image, and what it is about."""
        frame, prediction = self._frames[worst.index]
        if metric == FLICKER:
            drawn = self._change(prediction, self._frames[worst.previous][1])
        else:
            drawn = self._compared(task_measured_by(metric), frame, prediction)
        return {'image.jpg': frame.image, **drawn}

    def _compared(self, task: Task, frame: RecordedFrame, prediction: Prediction) -> dict[str, np.ndarray]:
        output = task.outputs[0]
        predicted = prediction.map(output.name)
        if task.has_classes:
            predicted = self._mapping.table[predicted]
        truth = task.target.read(self._replay.sample_of(frame), NO_ZOOM, NORMALS_WINDOW)
        pair = draw_pair(output, predicted, truth, self._replay.truth_space)
        return dict(zip((f'{output.name}.png', 'truth.png'), pair, strict=True))

    def _change(self, prediction: Prediction, before: Prediction) -> dict[str, np.ndarray]:
        space = self._replay.label_space
        return {
            'labels.png': colorize_labels(prediction.labels, space),
            'before.png': colorize_labels(before.labels, space),
        }

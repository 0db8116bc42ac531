"""A folder with a page about a replay: figures, plots over time, worst frames. It needs nothing else.

index.html          the page; its pictures by relative paths, no scripts
plots/NAME.png
images/METRIC_N_*   of the frame at position N: image, prediction and what it is compared with
"""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mtperception.evaluation.comparison import map_labels
from mtperception.evaluation.page import REPLAY_PAGE, format_metric, hex_colors, render
from mtperception.evaluation.plots import plot_depth_errors, plot_error_by_distance, plot_over_time, save_plot
from mtperception.geometry import is_valid
from mtperception.media import write_image
from mtperception.predictor import BackendPredictor
from mtperception.replay.depth_scores import AlignedMetrics
from mtperception.replay.result import Replay, Shown
from mtperception.visualization import colorize_depth, colorize_labels

_TITLES = {'rmse': 'RMSE', 'miou': 'mIoU', 'label_flicker': 'label flicker'}
_CAPTIONS = {
    'rmse': 'image | predicted depth | measured depth',
    'miou': 'image | predicted labels | recorded labels',
    'label_flicker': 'image | predicted labels | labels of the frame before',
}
_GROUPED = ('rmse', 'abs_rel', 'delta1')
"""Metrics in the tables by distance and by class, under each alignment."""


def write_report(replay: Replay, topics: Mapping[str, str], predictor: BackendPredictor, out: Path) -> None:
    """Write the folder.

    Args:
        replay: what to show.
        topics: of the recording, by role.
        predictor: that was replayed.
        out: the folder, made if need be; files of the same names in it are replaced.

    Raises:
        OSError: if a file cannot be written.
    """
    for folder in ('plots', 'images'):
        (out / folder).mkdir(parents=True, exist_ok=True)
    roles = {role.replace('_', ' '): topic or 'none' for role, topic in topics.items()}
    page = render(
        REPLAY_PAGE,
        title=f'{replay.model}: replay',
        heading=f'{replay.model} on {replay.protocol["bag"]}',
        frames=len(replay.frames),
        hardware=replay.hardware,
        notes=replay.notes,
        metrics=_groups(replay),
        tables=list(_tables(replay)),
        classes=_classes(replay),
        plots=[save_plot(out, name, title, figure) for name, title, figure in _plots(replay)],
        galleries=[_write_gallery(metric, replay, predictor, out) for metric in replay.worst],
        protocol={**roles, **replay.protocol, **replay.speed()},
    )
    (out / 'index.html').write_text(page, encoding='utf-8')


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
    headings = {'flicker': 'flicker', 'scale': 'scale of depth'}
    groups: dict[str, dict[str, float]] = {}
    for name, value in replay.summary().items():
        heading = next((title for part, title in headings.items() if part in name), None)
        heading = heading or ('segmentation' if name in replay.segmentation else 'depth')
        groups.setdefault(heading, {})[name] = value
    return groups


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


def _classes(replay: Replay) -> list[dict[str, Any]]:
    if replay.truth_space is None:
        return []
    return [
        {'name': name, 'iou': None if math.isnan(iou) else iou, 'color': color}
        for (name, iou), color in zip(replay.iou.items(), hex_colors(replay.truth_space), strict=True)
    ]


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


def _write_gallery(metric: str, replay: Replay, predictor: BackendPredictor, out: Path) -> dict[str, Any]:
    images = []
    for shown in replay.worst[metric]:
        pictures = {'image.jpg': shown.frame.image, **_DRAW[metric](shown, replay, predictor)}
        paths = [f'images/{metric}_{shown.frame.index}_{name}' for name in pictures]
        for path, picture in zip(paths, pictures.values(), strict=True):
            write_image(out / path, picture)
        images.append({'id': f'image {shown.frame.index}', 'value': shown.value, 'paths': paths})
    return {
        'title': f'Worst frames by {_TITLES[metric]}',
        'metric': metric,
        'caption': _CAPTIONS[metric],
        'images': images,
    }


def _draw_depth(shown: Shown, replay: Replay, predictor: BackendPredictor) -> dict[str, np.ndarray]:
    """Both in the range of the truth, so that equal colours are equal depths."""
    truth = shown.frame.depth
    near, far = float(truth[is_valid(truth)].min()), float(truth.max())
    far = max(far, near + 0.1)
    return {
        'depth.png': colorize_depth(shown.prediction.depth, near, far),
        'truth.png': colorize_depth(truth, near, far),
    }


def _draw_labels(shown: Shown, replay: Replay, predictor: BackendPredictor) -> dict[str, np.ndarray]:
    mapping = map_labels(predictor.label_space, predictor.card.classes, replay.truth_space)
    return {
        'labels.png': colorize_labels(mapping.table[shown.prediction.labels], replay.truth_space),
        'truth.png': colorize_labels(shown.frame.labels, replay.truth_space),
    }


def _draw_change(shown: Shown, replay: Replay, predictor: BackendPredictor) -> dict[str, np.ndarray]:
    return {
        'labels.png': colorize_labels(shown.prediction.labels, replay.label_space),
        'before.png': colorize_labels(shown.previous.labels, replay.label_space),
    }


_DRAW = {'rmse': _draw_depth, 'miou': _draw_labels, 'label_flicker': _draw_change}
"""By metric of the gallery."""

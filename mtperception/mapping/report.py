# SPDX-License-Identifier: Apache-2.0
"""A folder with a page about a map: what views see of it, the floor plan, time and memory. It needs nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mtperception.evaluation.page import render
from mtperception.evaluation.plots import plot_over_time, save_plot
from mtperception.labels import LabelSpace
from mtperception.mapping.export import class_colors
from mtperception.mapping.mapper import Mapper
from mtperception.mapping.rendering import RenderedView, SurfaceRenderer
from mtperception.mapping.surface import Surface
from mtperception.media import write_image
from mtperception.visualization import colorize_labels

HEADINGS = {
    'memory_mb': 'memory, MB',
    'area_m2': 'area, m2',
    'ms_per_frame': 'ms to fuse a frame',
    'confidence': 'mean confidence',
}
"""Titles of figures whose names are not clear enough."""
VIEWS = 3
"""Poses of the camera that pictures are rendered from, spread over the recording."""
CUT = 0.85
"""Share of the height that the floor plan shows: ceilings would hide all else."""
PLAN_PIXELS = 600
"""Longest side of the floor plan."""


def write_report(mapper: Mapper, surface: Surface, summary: Mapping[str, Any], out: Path) -> None:
    """Write the folder.

    Args:
        mapper: after its last frame.
        surface: of its map.
        summary: as `summary.summary` makes it.
        out: the folder, made if need be.

    Raises:
        OSError: if a file cannot be written.
    """
    for folder in ('plots', 'images'):
        (out / folder).mkdir(parents=True, exist_ok=True)
    write_image(out / 'images' / 'floor_plan.png', floor_plan(surface, mapper.space, mapper.options.voxel_size))
    text = render(
        'map',
        title='Semantic map',
        heading=f'Map of {summary["source"]}',
        frames=summary['frames'],
        hardware=summary['hardware'],
        tables=[_figures(summary)],
        legend=_legend(summary, mapper.space),
        plots=[{'title': 'Floor plan, by class', 'path': 'images/floor_plan.png'}, *_plots(mapper, out)],
        galleries=[_gallery(mapper, surface, out)],
        notes=summary['notes'],
    )
    (out / 'index.html').write_text(text, encoding='utf-8')


def floor_plan(surface: Surface, space: LabelSpace, voxel_size: float) -> np.ndarray:
    """uint8 H,W,3: the map from above, in the colours of the classes; z of the world is up, x to the right, y upwards.

    What is in the upper part (`CUT`) is left out; of the rest, the highest is seen.

    Args:
        surface: of the map.
        space: gives the palette.
        voxel_size: metres of a pixel, or more where the picture would be too large.
    """
    low, high = surface.vertices.min(axis=0), surface.vertices.max(axis=0)
    kept = surface.vertices[:, 2] <= low[2] + CUT * (high[2] - low[2])
    order = np.argsort(surface.vertices[kept, 2], kind='stable')
    points, labels = surface.vertices[kept][order], surface.labels[kept][order]
    pixel = max(voxel_size, float((high - low)[:2].max()) / PLAN_PIXELS)
    column, row = ((points[:, :2] - low[:2]) / pixel).astype(int).T
    width, height = ((high - low)[:2] / pixel).astype(int) + 1
    plan = np.full((height, width, 3), 255, np.uint8)
    plan[height - 1 - row, column] = class_colors(labels, space)
    factor = max(1, PLAN_PIXELS // max(height, width))
    return plan.repeat(factor, axis=0).repeat(factor, axis=1)


def pictures(view: RenderedView, space: LabelSpace) -> dict[str, np.ndarray]:
    """uint8 H,W,3 each: `color`, `labels` and `confidence` (white is sure); black where there is no surface."""
    gray = np.rint(view.confidence * 255).astype(np.uint8)
    return {
        'color': view.image,
        'labels': np.where(view.depth[..., None] > 0, colorize_labels(view.labels, space), np.uint8(0)),
        'confidence': np.repeat(gray[..., None], 3, axis=2),
    }


def _gallery(mapper: Mapper, surface: Surface, out: Path) -> dict[str, Any]:
    renderer, poses = SurfaceRenderer(surface), mapper.statistics.poses
    images = []
    for index in np.unique(np.linspace(0, len(poses) - 1, VIEWS).astype(int)):
        view = renderer.render(poses[index], mapper.statistics.intrinsics)
        paths = []
        for name, picture in pictures(view, mapper.space).items():
            paths.append(f'images/view_{index}_{name}.png')
            write_image(out / paths[-1], picture)
        images.append({'id': f'frame {index}', 'value': f'{(view.depth > 0).mean():.1%}', 'paths': paths})
    return {
        'title': 'The map as the camera would see it',
        'caption': 'Colour, labels, confidence (white is sure). Black: no surface; white among the labels: no class.',
        'metric': 'share of pixels with a surface',
        'images': images,
    }


def _plots(mapper: Mapper, out: Path) -> list[dict[str, str]]:
    series = {
        'ms': ('Time to fuse a frame', 'ms', mapper.statistics.ms),
        'mb': ('Memory of the map', 'MB', mapper.statistics.memory_mb),
    }
    return [save_plot(out, name, title, _over_frames(values, unit)) for name, (title, unit, values) in series.items()]


def _over_frames(values: Sequence[float], unit: str) -> Figure:
    figure = plot_over_time(np.arange(len(values), dtype=float), {unit: np.array(values)}, unit)
    figure.axes[0].set_xlabel('frame')
    return figure


def _figures(summary: Mapping[str, Any]) -> dict[str, Any]:
    rows = [
        (HEADINGS.get(name, name.replace('_', ' ')), f'{value:,}' if isinstance(value, int) else f'{value:.4g}')
        for name, value in summary['metrics'].items()
        if value is not None
    ]
    return {'title': 'Figures', 'columns': ['value'], 'rows': rows}


def _legend(summary: Mapping[str, Any], space: LabelSpace) -> list[dict[str, str]]:
    """The classes of the map, the largest first."""
    total = max(sum(summary['classes'].values()), 1)
    return [
        {
            'name': name,
            'color': f'#{bytes(space.palette[space.names.index(name)]).hex()}',
            'vertices': f'{count:,}',
            'share': f'{count / total:.1%}',
        }
        for name, count in sorted(summary['classes'].items(), key=lambda item: -item[1])
    ]

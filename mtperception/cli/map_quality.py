# SPDX-License-Identifier: Apache-2.0
"""`mtperception map-quality`: how good maps of a recording are."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from mtperception import __version__
from mtperception.cli.folders import make_room_for_json, write_json
from mtperception.cli.notes import say_notes, say_reading
from mtperception.cli.option_records import with_records
from mtperception.cli.options import CameraHeightOption, EveryOption, JsonOption, MaxDepthOption
from mtperception.cli.progress import progress
from mtperception.cli.settings import LabelledBagSettings, ModelSettings
from mtperception.cli.tables import printed_in_any_case, table_console
from mtperception.errors import InputError
from mtperception.hardware import describe_hardware
from mtperception.labels import LabelSpace
from mtperception.mapping.assessment import AS_IT_IS, HEIGHT, MEDIAN, NEAR, Assessment
from mtperception.mapping.fusion import RULES
from mtperception.mapping.mapper import MapOptions
from mtperception.mapping.views import open_views
from mtperception.predictor import Predictor
from mtperception.sources import Source
from mtperception.types import Frame, Prediction

DEFAULTS = MapOptions()
SINGLE = 'single views'
PERCENT, NUMBER = '.1%', '.3f'
LABEL_COLUMNS = {
    'voxel_size': ('voxels', '.3g'),
    'fusion': ('fusion', 's'),
    'kept_classes': ('kept', 'd'),
    'accuracy': ('accuracy', PERCENT),
    'miou': ('mIoU', PERCENT),
    'ece': ('ECE', NUMBER),
    'accuracy_3d': ('3D accuracy', PERCENT),
    'miou_3d': ('3D mIoU', PERCENT),
    'ece_3d': ('3D ECE', NUMBER),
    'flicker': ('flicker', PERCENT),
    'ms': ('ms', '.0f'),
    'mb': ('MB', '.1f'),
    'mb_per_m2': ('MB/m2', '.2f'),
}
DEPTH_COLUMNS = {
    'scale': ('scale of each view', 's'),
    'depth_edge_threshold': ('edges', '.3g'),
    'accuracy': ('accuracy m', NUMBER),
    'completeness': ('completeness m', NUMBER),
    'f_score': (f'F {100 * NEAR:.0f} cm', NUMBER),
    'near_pixels': (f'pixels within {100 * NEAR:.0f} cm', PERCENT),
    'factor': ('factor', NUMBER),
}
"""Heading and format by key of a row."""


@dataclass(frozen=True)
class _Settings:
    """Which maps are made."""

    voxel_size: Annotated[
        list[float] | None,
        typer.Option(
            min=0.005,
            max=1.0,
            metavar='METRES',
            help='Voxel size, by default 0.05; may be repeated; the first is used in all tables.',
        ),
    ] = None
    fusion: Annotated[list[str] | None, typer.Option(help=f'{", ".join(RULES)}, by default all; may be repeated.')] = (
        None
    )
    kept_classes: Annotated[
        list[int] | None, typer.Option(min=0, max=255, help='Classes stored per voxel; 0: all; may be repeated.')
    ] = None
    max_depth: MaxDepthOption = DEFAULTS.max_depth
    camera_height: CameraHeightOption = DEFAULTS.camera_height

    @property
    def options(self) -> MapOptions:
        """What all maps have in common."""
        voxel_size = (self.voxel_size or [DEFAULTS.voxel_size])[0]
        return MapOptions(voxel_size=voxel_size, max_depth=self.max_depth, memory_mb=2000)

    def of_labels(self) -> list[tuple[float, str, int]]:
        """Voxel size, rule and kept classes: all rules at the first size, the first rule and number at the others."""
        size, kept_classes = self.options.voxel_size, self.kept_classes or [DEFAULTS.kept_classes]
        first_rule = (self.fusion or [DEFAULTS.fusion])[0]
        return [
            *((size, rule, kept) for rule in self.fusion or RULES for kept in kept_classes),
            *((other, first_rule, kept_classes[0]) for other in (self.voxel_size or [])[1:]),
        ]

    def of_depth(self) -> Iterator[tuple[Any, ...]]:
        """Arguments of `Assessment.of_depth`."""
        for scale in (AS_IT_IS, MEDIAN):
            for edges in (0.0, DEFAULTS.depth_edge_threshold):
                yield scale, edges
        if self.camera_height:
            yield HEIGHT, DEFAULTS.depth_edge_threshold, self.camera_height


@with_records
def map_quality(
    source: Annotated[str, typer.Argument(help='A ROS bag or folder as for map, with depth and poses, or synthetic.')],
    model: ModelSettings,
    settings: _Settings,
    bag: LabelledBagSettings,
    every: EveryOption = 1,
    json_file: JsonOption = None,
) -> None:
    """Measure the quality of maps of a recording, by fusion rule and voxel size.

    The model's labels are fused on the source's own depth and scored: single views, and the map rendered into them, and
    its vertices, against the source's labels if it has them in the model's label space; how often labels change between
    neighbouring views; time and memory. Then a map of the model's depth is compared with one of the source's. All views
    are held in memory: about 10 MB each at 640x480. What each figure means: docs/mapping_quality.md.

    Example: mtperception map-quality kitchen/ --every 2 --voxel-size 0.05 --voxel-size 0.1 --json quality.json
    """
    if unknown := [rule for rule in settings.fusion or () if rule not in RULES]:
        raise InputError(f'--fusion {unknown[0]}: expected one of {", ".join(RULES)}')
    if json_file:
        make_room_for_json(json_file)
    views = open_views(source, bag.options, every=every)
    say_reading(views)
    with closing(model.open()) as predictor:
        if missing := sorted({'segmentation', 'depth'} - set(predictor.card.tasks)):
            card = predictor.card
            raise InputError(f'model {card.name} gives {", ".join(card.tasks)}: expected {" and ".join(missing)} too')
        frames, predictions = _predicted(views, predictor)
        space, name = predictor.label_space, predictor.card.name
    assessment = Assessment(_comparable(frames, views, space), predictions, space, settings.options)
    labels = _scored_labels(assessment, settings)
    depths = [assessment.of_depth(*setting) for setting in settings.of_depth()]
    notes = list(dict.fromkeys([*views.notes, *assessment.notes]))
    content = {
        'mtperception': __version__,
        'command': 'map-quality',
        'model': name,
        'hardware': describe_hardware(),
        'source': views.description,
        'frames': len(frames),
        'labels': labels,
        'depth': depths,
        'notes': notes,
    }
    with printed_in_any_case(lambda: _print_all(content)):
        if json_file:
            write_json(json_file, content, '--json')


def _print_all(content: Mapping[str, Any]) -> None:
    name = content['model']
    _print(content['labels'], LABEL_COLUMNS, f'{name}: labels on the depth of the source')
    _print(content['depth'], DEPTH_COLUMNS, f'{name}: depth against that of the source')
    say_notes(content['notes'])


def _scored_labels(assessment: Assessment, settings: _Settings) -> list[dict[str, Any]]:
    """A row for the views themselves, then one for each map."""
    rows, maps = [{'fusion': SINGLE, **assessment.of_views()}], settings.of_labels()
    with progress('mapping', len(maps)) as move:
        for done, setting in enumerate(maps, 1):
            rows.append(assessment.of_labels(*setting))
            move(done)
    return rows


def _predicted(views: Source, predictor: Predictor) -> tuple[list[Frame], list[Prediction]]:
    """The views that have pose, camera and depth, and what the model says of them."""
    frames, predictions = [], []
    with progress('predicting', views.count) as move:
        for done, frame in enumerate(views, 1):
            if frame.T_world_camera is not None and frame.intrinsics is not None and frame.depth is not None:
                frames.append(frame)
                predictions.append(predictor(frame.image, frame.intrinsics))
            move(done)
    if not frames:
        raise InputError(
            f'no image has pose, camera and depth (poses: {views.poses}): expected a source with all three'
        )
    return frames, predictions


def _comparable(frames: Sequence[Frame], views: Source, space: LabelSpace) -> list[Frame]:
    """Labels of another space are not scored."""
    if views.label_space is None or views.label_space.name == space.name:
        return list(frames)
    typer.echo(f'labels are in {views.label_space.name}, the model has {space.name}: they are not scored', err=True)
    return [replace(frame, labels=None) for frame in frames]


def _print(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, tuple[str, str]], title: str) -> None:
    console = table_console()
    table = Table(title=title, box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    used = {key: column for key, column in columns.items() if any(row.get(key) is not None for row in rows)}
    for heading, _ in used.values():
        table.add_column(heading, justify='right', no_wrap=True)
    for row in rows:
        table.add_row(*('-' if row.get(key) is None else format(row[key], form) for key, (_, form) in used.items()))
    console.print(table)

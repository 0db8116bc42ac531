# SPDX-License-Identifier: Apache-2.0
"""The options of `mtperception map` about the map itself, as one record."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from mtperception.cli.options import CameraHeightOption, MaxDepthOption
from mtperception.labels import DEFAULT_INVALID_DEPTH_CLASSES
from mtperception.mapping.filtering import DEFAULT_DYNAMIC_CLASSES
from mtperception.mapping.fusion import RULES
from mtperception.mapping.mapper import LABELS, MAX_MIN_VIEWS, MEMORY_LIMITS, MapOptions
from mtperception.types import DEPTHS

Fusion = Enum('Fusion', {name: name for name in RULES}, type=str)
DepthFrom = Enum('DepthFrom', {name: name for name in DEPTHS}, type=str)
LabelsFrom = Enum('LabelsFrom', {name: name for name in LABELS}, type=str)
DEFAULTS = MapOptions()
DEPTH, LABELS_, FUSION = DepthFrom(DEFAULTS.depth), LabelsFrom(DEFAULTS.labels), Fusion(DEFAULTS.fusion)


@dataclass(frozen=True)
class MapSettings:
    """What a map is made of and how: the options for `MapOptions`, with the same names and defaults."""

    depth: Annotated[DepthFrom, typer.Option(help="Depth of the model, or sensor: the source's own.")] = DEPTH
    labels: Annotated[LabelsFrom, typer.Option(help="Labels of the model, or recorded: the source's own.")] = LABELS_
    voxel_size: Annotated[float, typer.Option(min=0.005, max=1.0, metavar='METRES', help='Edge of a voxel.')] = (
        DEFAULTS.voxel_size
    )
    max_depth: MaxDepthOption = DEFAULTS.max_depth
    fusion: Annotated[
        Fusion, typer.Option(metavar='RULE', help=f'How views agree on a class: {", ".join(RULES)}; docs/mapping.md.')
    ] = FUSION
    kept_classes: Annotated[int, typer.Option(min=0, max=255, help='Classes stored per voxel; 0: all.')] = (
        DEFAULTS.kept_classes
    )
    memory_mb: Annotated[
        float,
        typer.Option(
            min=MEMORY_LIMITS[0],
            max=MEMORY_LIMITS[1],
            help='Memory limit of the map; the parts not seen for longest are dropped.',
        ),
    ] = DEFAULTS.memory_mb
    archive: Annotated[
        Path | None,
        typer.Option(metavar='FOLDER', help='Keep dropped parts in this folder, until they are seen again or written.'),
    ] = None
    min_views: Annotated[
        int, typer.Option(min=1, max=MAX_MIN_VIEWS, help='Keep only what at least this many images have seen.')
    ] = DEFAULTS.min_views
    dynamic_class: Annotated[
        list[str] | None,
        typer.Option(
            help="Moving class to leave out; may be repeated; '' for none.",
            show_default=', '.join(DEFAULT_DYNAMIC_CLASSES),
        ),
    ] = None
    invalid_depth_class: Annotated[
        list[str] | None,
        typer.Option(
            help="Class without a surface; may be repeated; '' for none.",
            show_default=', '.join(DEFAULT_INVALID_DEPTH_CLASSES),
        ),
    ] = None
    depth_edge_threshold: Annotated[
        float, typer.Option(min=0, max=10, help='Leave out pixels at depth edges above this relative step; 0: off.')
    ] = DEFAULTS.depth_edge_threshold
    depth_confidence_threshold: Annotated[
        float, typer.Option(min=0, max=1, help='Leave out depth with a lower confidence, if the model has it; 0: off.')
    ] = DEFAULTS.depth_confidence_threshold
    camera_height: CameraHeightOption = DEFAULTS.camera_height

    @property
    def options(self) -> MapOptions:
        """The same for the mapper."""
        given = dict(vars(self))
        dynamic, invalid = given.pop('dynamic_class'), given.pop('invalid_depth_class')
        changed = {
            'depth': self.depth.value,
            'labels': self.labels.value,
            'fusion': self.fusion.value,
            'archive': str(self.archive or ''),
            'dynamic_classes': DEFAULTS.dynamic_classes if dynamic is None else tuple(dynamic),
            'invalid_depth_classes': DEFAULTS.invalid_depth_classes if invalid is None else tuple(invalid),
        }
        return MapOptions(**{**given, **changed})

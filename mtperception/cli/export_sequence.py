# SPDX-License-Identifier: Apache-2.0
"""`mtperception export-sequence`: recordings and classes for mapping systems."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, fields
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from mtperception.atomic_write import atomic_file
from mtperception.card import open_model
from mtperception.cli.folders import check_apart, make_folder, naming_option
from mtperception.cli.notes import say_notes, say_reading
from mtperception.cli.option_records import with_records
from mtperception.cli.options import CameraFileOption
from mtperception.cli.progress import progress
from mtperception.cli.settings import BagSettings, ModelSettings
from mtperception.cli.usage import check_usage
from mtperception.errors import InputError, needs
from mtperception.labels import DEFAULT_LABEL_OFFSET, LARGEST_ID, load_label_space
from mtperception.predictor import Predictor
from mtperception.recording.recording_options import TOLERANCE
from mtperception.sequences import FORMATS, LABEL_FORMATS, SEQUENCE_FORMATS, WriterOptions
from mtperception.sequences.export import Exported
from mtperception.sequences.export import export_sequence as export
from mtperception.sequences.klg import DEPTH_COMPRESSIONS, IMAGE_COMPRESSIONS
from mtperception.sequences.tum import POSES
from mtperception.sources import SOURCES, Source, SourceOptions, kind_of, open_source
from mtperception.sources.images import ImageFolder
from mtperception.sources.source import DEPTH
from mtperception.sources.synthetic import SyntheticSource
from mtperception.sources.video import Webcam
from mtperception.types import DEPTHS, MODEL, SENSOR

Format = Enum('Format', {name: name for name in FORMATS}, type=str)
DepthFrom = Enum('DepthFrom', {name: name for name in DEPTHS}, type=str)
DepthCompression = Enum('DepthCompression', {name: name for name in DEPTH_COMPRESSIONS}, type=str)
ImageCompression = Enum('ImageCompression', {name: name for name in IMAGE_COMPRESSIONS}, type=str)
DEPTH_FROM = DepthFrom(MODEL)
DEFAULTS = WriterOptions()


@dataclass(frozen=True)
class _Writing:
    """What is written of each frame."""

    depth: Annotated[DepthFrom, typer.Option(help="sensor: the source's own depth.")] = DEPTH_FROM
    depth_compression: Annotated[
        DepthCompression | None, typer.Option(help='klg only.', show_default=DEFAULTS.depth_compression)
    ] = None
    image_compression: Annotated[
        ImageCompression | None, typer.Option(help='klg only.', show_default=DEFAULTS.image_compression)
    ] = None
    probabilities: Annotated[
        bool,
        typer.Option(
            '--probabilities',
            help='semanticfusion only: also write the probabilities of all classes; needs the extra torch.',
        ),
    ] = False

    @property
    def is_sensor(self) -> bool:
        """Whether depth is the source's."""
        return self.depth.value == SENSOR

    @property
    def options(self) -> WriterOptions:
        """The same for a writer."""
        return WriterOptions(
            self.depth_compression.value if self.depth_compression else DEFAULTS.depth_compression,
            self.image_compression.value if self.image_compression else DEFAULTS.image_compression,
        )


@dataclass(frozen=True)
class _Classes:
    """Which classes are in a table."""

    label_space: Annotated[
        str, typer.Option(help='Tables only: the label space, such as nyuv2_13.', show_default="the model's")
    ] = ''
    label_offset: Annotated[
        int, typer.Option(min=0, max=LARGEST_ID, help='Tables only: id = class index + this offset, as on the topics.')
    ] = DEFAULT_LABEL_OFFSET


@with_records
def export_sequence(
    kind: Annotated[Format, typer.Option('--format', help='What to write; docs/mapping.md says for whom.')],
    out: Annotated[Path, typer.Option(help='File or folder to write; an earlier export there is replaced.')],
    model: ModelSettings,
    bag: BagSettings,
    writing: _Writing,
    classes: _Classes,
    source: Annotated[
        str | None,
        typer.Argument(help='A ROS bag, a video, a folder of images, or synthetic; none for a table of classes.'),
    ] = None,
    rate: Annotated[
        float,
        typer.Option(min=0.0, help='Images per second of a folder of images or of synthetic.', show_default='10'),
    ] = 0.0,
    camera: CameraFileOption = '',
    frames: Annotated[int | None, typer.Option(min=1, help='Stop after this many.', show_default='all')] = None,
) -> None:
    """Write a recording with the model's depth, or a table of its classes, in the format of a mapping system.

    klg (ElasticFusion), tum (ORB-SLAM and others) and semanticfusion are recordings; hydra (Kimera, Hydra), nav2 and
    legend are tables of classes, made without a source. --depth sensor writes the source's own depth: a bag's, that
    which dataset.json of a folder names, or the exact one of synthetic. tum gets the poses, where they are known.

    Example: mtperception export-sequence walk.mcap --format klg --out walk.klg
    """
    name = kind.value
    _check(name, source, bag, writing, classes)
    if name in LABEL_FORMATS:
        others = {'--camera': camera, '--rate': rate, '--frames': frames, '--depth sensor': writing.is_sensor}
        _check_table(name, bag, others)
        _export_labels(name, out, model.model, classes)
        return
    check_usage((Webcam.accepts(source) and frames is None, source, 'does not end by itself: expected --frames'))
    expected = f'{source} has times of its own: expected a folder of images or synthetic'
    check_usage((rate and SOURCES[kind_of(source)] not in (ImageFolder, SyntheticSource), '--rate', expected))
    maps = (DEPTH,) if writing.is_sensor else ()
    recording = open_source(source, SourceOptions(rate=rate, maps=maps, recording=bag.options, camera_file=camera))
    check_apart(out, [source, *filter(None, [camera])], '--out', is_replaced=True)
    make_folder(out.expanduser().parent, '--out')
    start = time.monotonic()
    exported = _export(name, out, recording, model, writing, frames)
    typer.echo(f'{out}: {exported.frames} frames in {time.monotonic() - start:.1f} s; {_camera(exported)}', err=True)
    say_notes([*recording.notes, *_notes(exported, name)])


def _check(name: str, source: str | None, bag: BagSettings, writing: _Writing, classes: _Classes) -> None:
    is_table, compressions = name in LABEL_FORMATS, writing.depth_compression or writing.image_compression
    of_model, with_sensor = not (is_table or writing.is_sensor), 'expected together with --depth sensor'
    check_usage(
        (is_table and source is not None, 'SOURCE', f'{name} is a table of classes: expected no SOURCE'),
        (not is_table and source is None, 'SOURCE', f'{name} is a recording: expected a SOURCE'),
        (name != 'klg' and compressions, '--depth-compression, --image-compression', 'compressions are for klg'),
        (name != 'semanticfusion' and writing.probabilities, '--probabilities', 'is for semanticfusion'),
        (not is_table and classes.label_space, '--label-space', 'is for tables of classes'),
        (not is_table and classes.label_offset != DEFAULT_LABEL_OFFSET, '--label-offset', 'is for tables of classes'),
        (of_model and bag.depth_topic, '--depth-topic', with_sensor),
        (of_model and bag.tolerance != TOLERANCE, '--tolerance', with_sensor),  # it pairs depth alone with the images
        (of_model and bag.depth_registered, '--depth-registered', with_sensor),
        (not is_table and name != 'tum' and bag.pose_topic, '--pose-topic', 'is for tum'),
    )


def _check_table(name: str, bag: BagSettings, others: dict[str, object]) -> None:
    """A table of classes needs nothing that says how a recording is read."""
    given = [option for option, value in others.items() if value]
    given += [f'--{field.name}'.replace('_', '-') for field in fields(bag) if getattr(bag, field.name) != field.default]
    check_usage((given, ', '.join(given), f'only for recordings: {name} is a table of classes'))


def _export(
    name: str, out: Path, recording: Source, model: ModelSettings, writing: _Writing, frames: int | None
) -> Exported:
    """Write a recording; the model is loaded if it is needed."""
    counts = [count for count in (recording.count, frames) if count is not None]
    with ExitStack() as stack:
        needs_model = writing.probabilities or not writing.is_sensor
        predictor = stack.enter_context(closing(model.open())) if needs_model else None
        move = stack.enter_context(progress('exporting', min(counts, default=None)))
        stack.enter_context(naming_option('--out'))
        say_reading(recording)
        of_classes = _open_probabilities(predictor) if writing.probabilities else None
        depth_of = None if writing.is_sensor else predictor
        kept = islice(recording, frames)
        return export(kept, depth_of, SEQUENCE_FORMATS[name], out, writing.options, of_classes, move)


def _export_labels(name: str, out: Path, model: str, classes: _Classes) -> None:
    space = load_label_space(classes.label_space) if classes.label_space else open_model(model).label_space
    if not len(space):
        raise InputError(f'model {model} gives no classes: expected one with segmentation, or --label-space')
    with naming_option('--out'), atomic_file(out) as part:
        LABEL_FORMATS[name](part, space, classes.label_offset)
    typer.echo(f'{out}: the {len(space)} classes of {space.name}', err=True)


def _open_probabilities(predictor: Predictor) -> Callable[[np.ndarray], np.ndarray]:
    with needs('--probabilities', 'PyTorch', 'torch'):
        from mtperception.probabilities import Probabilities
    return Probabilities(predictor)


def _notes(exported: Exported, name: str) -> Iterator[str]:
    """What is not as the readers of a format expect it."""
    if exported.not_later:
        yield (
            f'{exported.not_later} of {exported.frames} stamps are not later than the one before, as recorded: {name} '
            'is read by systems that expect rising ones'
        )
    if exported.without_depth:
        yield f'{exported.without_depth} frames without depth are left out'
    if name == 'tum' and exported.poses:
        yield f'{POSES} has the poses of {exported.poses} of {exported.frames} frames'


def _camera(exported: Exported) -> str:
    """What a mapping system has to be told about the camera."""
    width, height = exported.size
    camera = exported.intrinsics
    if camera is None:
        return f'{width}x{height}, camera not known: depth is not scaled to it'
    return f'{width}x{height}, camera fx fy cx cy: {camera.fx:.6g} {camera.fy:.6g} {camera.cx:.6g} {camera.cy:.6g}'

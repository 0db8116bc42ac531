# SPDX-License-Identifier: Apache-2.0
"""`mtperception export-sequence`: recordings and classes for mapping systems."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from mtperception.atomic_write import atomic_file
from mtperception.card import DEFAULT_MODEL, open_model
from mtperception.cli.folders import make_folder, naming_option
from mtperception.cli.notes import say_notes, say_reading
from mtperception.cli.options import BackendOption, DeviceOption, ImageTopicOption, ModelOption, PrecisionOption
from mtperception.cli.progress import progress
from mtperception.errors import InputError, MissingPackageError
from mtperception.labels import DEFAULT_LABEL_OFFSET, LARGEST_ID, load_label_space
from mtperception.predictor import Predictor
from mtperception.sequences import FORMATS, LABEL_FORMATS, SEQUENCE_FORMATS, WriterOptions
from mtperception.sequences.export import Exported
from mtperception.sequences.export import export_sequence as export
from mtperception.sequences.klg import DEPTH_COMPRESSIONS, IMAGE_COMPRESSIONS
from mtperception.sequences.tum import POSES
from mtperception.sources import SourceOptions, open_source

Format = Enum('Format', {name: name for name in FORMATS}, type=str)
DepthCompression = Enum('DepthCompression', {name: name for name in DEPTH_COMPRESSIONS}, type=str)
ImageCompression = Enum('ImageCompression', {name: name for name in IMAGE_COMPRESSIONS}, type=str)
DEFAULTS = WriterOptions()


def export_sequence(
    kind: Annotated[Format, typer.Option('--format', help='What to write; docs/mapping.md says for whom.')],
    out: Annotated[Path, typer.Option(help='File or folder to write; an earlier export there is replaced.')],
    source: Annotated[
        str | None,
        typer.Argument(help='A ROS bag, a video, a folder of images, or synthetic; none for a table of classes.'),
    ] = None,
    model: ModelOption = DEFAULT_MODEL,
    backend: BackendOption = 'auto',
    device: DeviceOption = 'auto',
    precision: PrecisionOption = 'auto',
    image_topic: ImageTopicOption = '',
    pose_topic: Annotated[
        str,
        typer.Option(
            help='Pose topic of a bag (tum only), Odometry or PoseStamped; default: the nearest, or transforms.'
        ),
    ] = '',
    rate: Annotated[
        float, typer.Option(min=0.0, help='Images per second of a folder.', show_default='that of the source')
    ] = 0.0,
    frames: Annotated[int | None, typer.Option(min=1, help='Stop after this many.', show_default='all')] = None,
    depth_compression: Annotated[
        DepthCompression | None, typer.Option(help='klg only.', show_default=DEFAULTS.depth_compression)
    ] = None,
    image_compression: Annotated[
        ImageCompression | None, typer.Option(help='klg only.', show_default=DEFAULTS.image_compression)
    ] = None,
    probabilities: Annotated[
        bool,
        typer.Option(
            '--probabilities',
            help='semanticfusion only: also write the probabilities of all classes; needs the extra torch.',
        ),
    ] = False,
    label_space: Annotated[
        str, typer.Option(help='Tables only: the label space, such as nyuv2_13.', show_default="the model's")
    ] = '',
    label_offset: Annotated[
        int, typer.Option(min=0, max=LARGEST_ID, help='Tables only: id = class index + this offset, as on the topics.')
    ] = DEFAULT_LABEL_OFFSET,
) -> None:
    """Write a recording with the model's depth, or a table of its classes, in the format of a mapping system.

    klg (ElasticFusion), tum (ORB-SLAM and others) and semanticfusion are recordings; hydra (Kimera, Hydra), nav2 and
    legend are tables of classes, made without a source.

    Example: mtperception export-sequence walk.mcap --format klg --out walk.klg
    """
    name = kind.value
    if name in LABEL_FORMATS:
        _check_usage(
            (source is not None, f'{name} is a table of classes: expected no SOURCE'),
            (bool(depth_compression or image_compression), 'compressions are for klg'),
            (probabilities, '--probabilities is for semanticfusion'),
        )
        _export_labels(name, out, model, label_space, label_offset)
        return
    _check_usage(
        (source is None, f'{name} is a recording: expected a SOURCE'),
        (name != 'klg' and bool(depth_compression or image_compression), 'compressions are for klg'),
        (name != 'semanticfusion' and probabilities, '--probabilities is for semanticfusion'),
        (bool(label_space), '--label-space is for tables of classes'),
    )
    options = WriterOptions(
        depth_compression.value if depth_compression else DEFAULTS.depth_compression,
        image_compression.value if image_compression else DEFAULTS.image_compression,
    )
    recording = open_source(source, SourceOptions(rate=rate, image_topic=image_topic, pose_topic=pose_topic))
    _check_apart(out, source)
    make_folder(out.expanduser().parent, '--out')
    counts = [count for count in (recording.count, frames) if count is not None]
    total = min(counts, default=None)
    start = time.monotonic()
    with (
        closing(Predictor(model, backend, device, precision)) as predictor,
        progress('exporting', total) as move,
        naming_option('--out'),
    ):
        say_reading(recording)
        of_classes = _open_probabilities(predictor) if probabilities else None
        kept = islice(recording, frames)
        exported = export(kept, predictor, SEQUENCE_FORMATS[name], out, options, of_classes, move)
    typer.echo(f'{out}: {exported.frames} frames in {time.monotonic() - start:.1f} s; {_camera(exported)}', err=True)
    say_notes([*recording.notes, *_notes(exported, name)])


def _check_usage(*problems: tuple[bool, str]) -> None:
    for wrong, message in problems:
        if wrong:
            raise typer.BadParameter(message)


def _export_labels(name: str, out: Path, model: str, label_space: str, label_offset: int) -> None:
    space = load_label_space(label_space) if label_space else open_model(model).label_space
    if not len(space):
        raise InputError(f'model {model} gives no classes: expected one with segmentation, or --label-space')
    with naming_option('--out'), atomic_file(out) as part:
        LABEL_FORMATS[name](part, space, label_offset)
    typer.echo(f'{out}: the {len(space)} classes of {space.name}', err=True)


def _open_probabilities(predictor: Predictor) -> Callable[[np.ndarray], np.ndarray]:
    try:
        from mtperception.sequences.probabilities import Probabilities
    except ImportError as error:
        raise MissingPackageError(
            f'--probabilities needs PyTorch ({error}): pip install "mtperception[torch]"'
        ) from error
    return Probabilities(predictor)


def _check_apart(out: Path, source: str) -> None:
    """Check that the export does not take the place of what it is made from."""
    path = Path(source).expanduser()
    if path.exists() and path.resolve().is_relative_to(out.expanduser().resolve()):
        raise InputError(f'--out {out} is or holds the source {source}: choose another name')


def _notes(exported: Exported, name: str) -> Iterator[str]:
    """What is not as the readers of a format expect it."""
    if exported.not_later:
        yield (
            f'{exported.not_later} of {exported.frames} stamps are not later than the one before, as recorded: {name} '
            'is read by systems that expect rising ones'
        )
    if name == 'tum' and exported.poses:
        yield f'{POSES} has the poses of {exported.poses} of {exported.frames} frames'


def _camera(exported: Exported) -> str:
    """What a mapping system has to be told about the camera."""
    width, height = exported.size
    camera = exported.intrinsics
    if camera is None:
        return f'{width}x{height}, camera not known: depth is not scaled to it'
    return f'{width}x{height}, camera fx fy cx cy: {camera.fx:.6g} {camera.fy:.6g} {camera.cx:.6g} {camera.cy:.6g}'

# SPDX-License-Identifier: Apache-2.0
"""`mtperception map`: a recording becomes a dense map that knows what it is made of."""

from collections.abc import Callable, Collection
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from mtperception.atomic_write import atomic_folder, check_replaceable, write_json_atomically
from mtperception.cli.folders import check_apart, make_folder, make_room_for_json, naming_option, write_json
from mtperception.cli.map_settings import MapSettings
from mtperception.cli.notes import say_notes, say_reading
from mtperception.cli.option_records import with_records
from mtperception.cli.options import CameraFileOption, EveryOption, JsonOption
from mtperception.cli.progress import progress
from mtperception.cli.reports import report_needs
from mtperception.cli.settings import LabelledBagSettings, ModelSettings
from mtperception.cli.usage import check_usage
from mtperception.errors import InputError, RunError
from mtperception.labels import DEFAULT_LABEL_OFFSET, LabelSpace, load_label_space
from mtperception.mapping.export import ENTRIES, REPORT, SUMMARY, write_map
from mtperception.mapping.mapper import RECORDED, MapOptions, Mapper
from mtperception.mapping.plausibility import blocks_dropped, frames_left_out, problems, single_view
from mtperception.mapping.summary import summary
from mtperception.mapping.views import open_views
from mtperception.mapping.volume import SemanticVolume
from mtperception.predictor import Predictor
from mtperception.sources import Source
from mtperception.sources.source import DEPTH, LABELS
from mtperception.types import MODEL, SENSOR


@with_records
def map_(
    source: Annotated[
        str,
        typer.Argument(
            help='A ROS bag, a folder with dataset.json and poses, or synthetic; with --poses also a video or images.'
        ),
    ],
    out: Annotated[Path, typer.Option(help='Folder to write; an earlier map there is replaced.')],
    model: ModelSettings,
    settings: MapSettings,
    bag: LabelledBagSettings,
    poses: Annotated[
        Path | None,
        typer.Option(
            metavar='FILE',
            help='Poses in TUM format: stamp x y z qx qy qz qw. --tolerance also holds for them.',
        ),
    ] = None,
    camera: CameraFileOption = '',
    every: EveryOption = 1,
    label_space: Annotated[str, typer.Option(help='Classes of the recorded labels.', show_default="the model's")] = '',
    per_class: Annotated[bool, typer.Option('--per-class', help='Also write a mesh for each class.')] = False,
    json_file: JsonOption = None,
    report: Annotated[bool, typer.Option('--report', help='Also write a page with pictures of the map.')] = False,
) -> None:
    """Fuse depth and labels under known poses into one mesh with a class for each vertex.

    Depth and labels come from the model; --depth sensor uses the depth of an RGB-D camera. Poses come from a bag
    (Odometry, PoseStamped or transforms), from the files that "pose" in a folder's dataset.json names, or from --poses;
    the camera from the bag, from dataset.json, or from --camera.
    Writes mesh.ply, points.ply, map.npz and summary.json: docs/mapping.md.

    Example: mtperception map walk.mcap --depth sensor --voxel-size 0.03 --out walk_map --report
    """
    options = settings.options
    labels_are_recorded = options.labels == RECORDED
    has_offset = bag.label_offset != DEFAULT_LABEL_OFFSET
    depth_is_recorded = options.depth == SENSOR
    with_sensor, with_recorded = 'expected together with --depth sensor', 'expected together with --labels recorded'
    check_usage(
        (bag.depth_topic and not depth_is_recorded, '--depth-topic', with_sensor),
        (bag.depth_registered and not depth_is_recorded, '--depth-registered', with_sensor),
        (bag.label_topic and not labels_are_recorded, '--label-topic', with_recorded),
        (has_offset and not labels_are_recorded, '--label-offset', with_recorded),
        (label_space and not labels_are_recorded, '--label-space', with_recorded),
        (poses and bag.pose_topic, '--pose-topic', 'not together with --poses'),
    )
    inputs = [source, *([str(poses)] if poses else []), *([camera] if camera else [])]
    _check_outputs(inputs, out, settings.archive, json_file)
    write_report = _report_writer() if report else None
    with ExitStack() as stack:
        views = open_views(source, bag.options, poses=poses, camera_file=camera, every=every, maps=_needed(options))
        say_reading(views)
        predictor = None
        if options.needs_model:
            predictor = model.open(invalid_depth_classes=options.invalid_depth_classes)
            stack.enter_context(closing(predictor))
            if options.depth == MODEL and 'depth' not in predictor.card.tasks:
                raise InputError(
                    f'model {predictor.card.name} gives no depth: expected one with depth, or --depth sensor'
                )
        mapper = Mapper(_space(options, views, label_space, predictor), options, predictor)
        with progress('mapping', views.count) as move:
            for done, frame in enumerate(views, 1):
                mapper.add(frame)
                move(done)
        run = _Run(mapper, mapper.volume.whole(), views, predictor.card.name if predictor else '')
        _write(run, out, per_class=per_class, json_file=json_file, write_report=write_report)


def _check_outputs(inputs: list[str], out: Path, archive: Path | None, json_file: Path | None) -> None:
    check_apart(out, inputs, '--out')
    if archive:
        check_apart(archive, [*inputs, str(out)], '--archive')
    for option, path in (('--archive', archive), ('--json', json_file)):
        if path and path.expanduser().resolve().is_relative_to(out.expanduser().resolve()):
            raise InputError(f'{option} {path} is in --out, which is replaced as a whole: choose another place')
    check_replaceable(out.expanduser(), ENTRIES)
    make_folder(out.expanduser().absolute().parent, '--out')
    if json_file:
        make_room_for_json(json_file)


def _needed(options: MapOptions) -> Collection[str]:
    """Which maps of the source are used."""
    return [*([DEPTH] if options.depth == SENSOR else []), *([LABELS] if options.labels == RECORDED else [])]


@dataclass(frozen=True)
class _Run:
    """What came of it."""

    mapper: Mapper
    volume: SemanticVolume
    """With what is in the archive."""
    views: Source
    model: str


def _write(
    run: _Run, out: Path, *, per_class: bool, json_file: Path | None, write_report: Callable[..., None] | None
) -> None:
    mapper, views = run.mapper, run.views
    surface = run.volume.surface(mapper.options.min_views)
    found = list(problems(mapper.statistics, mapper.options, views.poses))
    if same := single_view(mapper.statistics):
        found.append(same)
    if not len(surface.vertices):
        unseen = f'no surface was seen by {mapper.options.min_views} images: use --min-views 1, or more images'
        raise RunError('the map is empty: ' + '; '.join([*found, *views.notes] or [unseen]))
    dropped = blocks_dropped(mapper.volume, mapper.options.memory_mb)
    incomplete = filter(None, [frames_left_out(mapper.statistics, views.poses), dropped])
    notes = list(dict.fromkeys([*views.notes, *incomplete, *found]))
    with naming_option('--out'), atomic_folder(out, ENTRIES) as part:
        voxels = write_map(run.volume, surface, mapper.space, part, per_class=per_class)
        content = summary(mapper, voxels, surface, run.model, views.description, notes)
        write_json_atomically(part / SUMMARY, content)
        if write_report:
            write_report(mapper, surface, content, part / REPORT)
    if json_file:
        write_json(json_file, content, '--json')
    metrics = content['metrics']
    typer.echo(
        f'{out}: {content["frames"]} frames, {metrics["vertices"]} vertices, {metrics["area_m2"]:.1f} m2, '
        f'{metrics["memory_mb"]:.0f} MB, {metrics["ms_per_frame"]:.0f} ms a frame to fuse',
        err=True,
    )
    say_notes(notes)


def _space(options: MapOptions, views: Source, name: str, predictor: Predictor | None) -> LabelSpace:
    """The classes of the map: the model's, or those of the recorded labels."""
    if options.labels != RECORDED:
        if not len(predictor.label_space):
            raise InputError(f'model {predictor.card.name} gives no classes: expected one with segmentation')
        return predictor.label_space
    space = load_label_space(name) if name else views.label_space or (predictor and predictor.label_space)
    if not space:
        raise InputError('--labels recorded: the classes of the labels are not known: give --label-space')
    return space


def _report_writer() -> Callable[..., None]:
    with report_needs('matplotlib and jinja2'):
        from mtperception.mapping.report import write_report
    return write_report

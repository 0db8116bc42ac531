# SPDX-License-Identifier: Apache-2.0
"""`mtperception map`: a recording becomes a dense map that knows what it is made of."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from mtperception.atomic_write import atomic_folder, check_replaceable, write_json_atomically
from mtperception.card import DEFAULT_MODEL
from mtperception.cli.folders import check_apart, make_folder, make_room_for, naming_option, write_json
from mtperception.cli.notes import say_notes
from mtperception.cli.options import (
    BackendOption,
    CameraHeightOption,
    CameraInfoTopicOption,
    DepthRegisteredOption,
    DepthTopicOption,
    DeviceOption,
    EveryOption,
    ImageTopicOption,
    JsonOption,
    LabelOffsetOption,
    MaxDepthOption,
    ModelOption,
    PoseTopicOption,
    PrecisionOption,
    ToleranceOption,
)
from mtperception.cli.progress import progress
from mtperception.errors import InputError, MissingPackageError, RunError
from mtperception.labels import DEFAULT_INVALID_DEPTH_CLASSES, LabelSpace, load_label_space
from mtperception.mapping.export import ENTRIES, REPORT, SUMMARY, write_map
from mtperception.mapping.filtering import DEFAULT_DYNAMIC_CLASSES
from mtperception.mapping.fusion import RULES
from mtperception.mapping.mapper import DEPTHS, LABELS, MapOptions, Mapper
from mtperception.mapping.plausibility import frames_left_out, problems
from mtperception.mapping.summary import summary
from mtperception.mapping.views import Views, open_views
from mtperception.mapping.volume import SemanticVolume
from mtperception.predictor import Predictor
from mtperception.recording.options import TOLERANCE, RecordingOptions
from mtperception.recording.topics import TopicRequest

Fusion = Enum('Fusion', {name: name for name in RULES}, type=str)
DepthFrom = Enum('DepthFrom', {name: name for name in DEPTHS}, type=str)
LabelsFrom = Enum('LabelsFrom', {name: name for name in LABELS}, type=str)
DEFAULTS = MapOptions()
DEPTH, LABELS_, FUSION = DepthFrom(DEFAULTS.depth), LabelsFrom(DEFAULTS.labels), Fusion(DEFAULTS.fusion)


def map_(
    source: Annotated[
        Path, typer.Argument(help='A ROS bag, a folder with dataset.json and a pose for each image, or synthetic.')
    ],
    out: Annotated[Path, typer.Option(help='Folder to write; an earlier map there is replaced.')],
    model: ModelOption = DEFAULT_MODEL,
    depth: Annotated[DepthFrom, typer.Option(help="sensor: the source's own depth.")] = DEPTH,
    labels: Annotated[LabelsFrom, typer.Option(help="recorded: the source's own labels.")] = LABELS_,
    poses: Annotated[
        Path | None, typer.Option(metavar='FILE', help='Poses in TUM format: stamp x y z qx qy qz qw.')
    ] = None,
    voxel_size: Annotated[float, typer.Option(min=0.005, max=1.0, metavar='METRES')] = DEFAULTS.voxel_size,
    max_depth: MaxDepthOption = DEFAULTS.max_depth,
    fusion: Annotated[
        Fusion, typer.Option(metavar='RULE', help=f'How views agree on a class: {", ".join(RULES)}; docs/mapping.md.')
    ] = FUSION,
    kept_classes: Annotated[
        int, typer.Option(min=0, max=255, help='Classes stored per voxel; 0: all.')
    ] = DEFAULTS.kept_classes,
    memory_mb: Annotated[
        float, typer.Option(min=1, help='Memory limit of the map; the parts not seen for longest are dropped.')
    ] = DEFAULTS.memory_mb,
    archive: Annotated[
        Path | None,
        typer.Option(metavar='FOLDER', help='Keep dropped parts in this folder, until they are seen again or written.'),
    ] = None,
    min_views: Annotated[
        int, typer.Option(min=1, help='Keep only what at least this many images have seen.')
    ] = DEFAULTS.min_views,
    every: EveryOption = 1,
    dynamic_class: Annotated[
        list[str] | None,
        typer.Option(
            help="Moving class to leave out; may be repeated; '' for none.",
            show_default=', '.join(DEFAULT_DYNAMIC_CLASSES),
        ),
    ] = None,
    invalid_depth_class: Annotated[
        list[str] | None,
        typer.Option(
            help="Class without a surface; may be repeated; '' for none.",
            show_default=', '.join(DEFAULT_INVALID_DEPTH_CLASSES),
        ),
    ] = None,
    depth_edge_threshold: Annotated[
        float, typer.Option(min=0, max=10, help='Leave out pixels at depth edges above this relative step; 0: off.')
    ] = DEFAULTS.depth_edge_threshold,
    depth_confidence_threshold: Annotated[
        float, typer.Option(min=0, max=1, help='Leave out depth with a lower confidence, if the model has it; 0: off.')
    ] = DEFAULTS.depth_confidence_threshold,
    camera_height: CameraHeightOption = DEFAULTS.camera_height,
    image_topic: ImageTopicOption = '',
    camera_info_topic: CameraInfoTopicOption = '',
    depth_topic: DepthTopicOption = '',
    label_topic: Annotated[str, typer.Option(help='Label topic of a bag, for --labels recorded.')] = '',
    pose_topic: PoseTopicOption = '',
    label_space: Annotated[str, typer.Option(help="Label space of the bag's labels.", show_default="the model's")] = '',
    label_offset: LabelOffsetOption = 1,
    tolerance: ToleranceOption = TOLERANCE,
    depth_registered: DepthRegisteredOption = False,
    backend: BackendOption = 'auto',
    device: DeviceOption = 'auto',
    precision: PrecisionOption = 'auto',
    per_class: Annotated[bool, typer.Option('--per-class', help='Also write a mesh for each class.')] = False,
    json_file: JsonOption = None,
    report: Annotated[bool, typer.Option('--report', help='Also write a page with pictures of the map.')] = False,
) -> None:
    """Fuse depth and labels under known poses into one mesh with a class for each vertex.

    Depth and labels come from the model; --depth sensor uses the depth of an RGB-D camera. Poses come from a bag
    (Odometry, PoseStamped or transforms), from the files that "pose" in a folder's dataset.json names, or from --poses.
    Writes mesh.ply, points.ply, map.npz and summary.json: docs/mapping.md.

    Example: mtperception map walk.mcap --depth sensor --voxel-size 0.03 --out walk_map --report
    """
    options = MapOptions(
        depth=depth.value,
        labels=labels.value,
        voxel_size=voxel_size,
        max_depth=max_depth,
        fusion=fusion.value,
        kept_classes=kept_classes,
        memory_mb=memory_mb,
        archive=str(archive or ''),
        min_views=min_views,
        dynamic_classes=DEFAULTS.dynamic_classes if dynamic_class is None else tuple(dynamic_class),
        invalid_depth_classes=DEFAULTS.invalid_depth_classes
        if invalid_depth_class is None
        else tuple(invalid_depth_class),
        depth_edge_threshold=depth_edge_threshold,
        depth_confidence_threshold=depth_confidence_threshold,
        camera_height=camera_height,
    )
    check_apart(out, [str(source)], '--out')
    if archive:
        check_apart(archive, [str(source), str(out)], '--archive')
    check_replaceable(out.expanduser(), ENTRIES)
    make_folder(out.expanduser().absolute().parent, '--out')
    if json_file:
        make_room_for(json_file, '--json')
    write_report = _report_writer() if report else None
    request = TopicRequest(image_topic, camera_info_topic, depth_topic, label_topic, pose_topic)
    with ExitStack() as stack:
        views, recording = open_views(
            source,
            RecordingOptions(request, tolerance, label_offset, depth_registered),
            poses=poses,
            with_depth=options.depth != DEFAULTS.depth,
        )
        if recording:
            stack.enter_context(recording)
        typer.echo(f'reading {views.description}', err=True)
        predictor = None
        if options.needs_model:
            predictor = Predictor(
                model, backend, device, precision, invalid_depth_classes=options.invalid_depth_classes
            )
            stack.enter_context(closing(predictor))
        mapper = Mapper(_space(options, views, label_space, predictor), options, predictor)
        with progress('mapping', len(range(0, views.count, every))) as move:
            for done, frame in enumerate(views.frames(every), 1):
                mapper.add(frame)
                move(done)
        run = _Run(mapper, mapper.volume.whole(), views, predictor.card.name if predictor else '')
        _write(run, out, per_class=per_class, json_file=json_file, write_report=write_report)


@dataclass(frozen=True)
class _Run:
    """What came of it."""

    mapper: Mapper
    volume: SemanticVolume
    """With what is in the archive."""
    views: Views
    model: str


def _write(
    run: _Run, out: Path, *, per_class: bool, json_file: Path | None, write_report: Callable[..., None] | None
) -> None:
    mapper, views = run.mapper, run.views
    surface = run.volume.surface(mapper.options.min_views)
    found = list(problems(mapper.statistics, mapper.options, views.poses))
    if not len(surface.vertices):
        unseen = f'no surface was seen by {mapper.options.min_views} images: use --min-views 1, or more images'
        raise RunError('the map is empty: ' + '; '.join([*found, *views.notes] or [unseen]))
    left_out = frames_left_out(mapper.statistics, views.poses)
    notes = list(dict.fromkeys([*views.notes, *([left_out] if left_out else []), *found]))
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


def _space(options: MapOptions, views: Views, name: str, predictor: Predictor | None) -> LabelSpace:
    """The classes of the map: the model's, or those of the recorded labels."""
    if options.labels == 'model':
        if not len(predictor.label_space):
            raise InputError(f'model {predictor.card.name} gives no classes: expected one with segmentation')
        return predictor.label_space
    space = load_label_space(name) if name else views.label_space or (predictor and predictor.label_space)
    if not space:
        raise InputError('--labels recorded: the classes of the labels are not known: give --label-space')
    return space


def _report_writer() -> Callable[..., None]:
    try:
        from mtperception.mapping.report import write_report
    except ImportError as error:
        raise MissingPackageError(
            f'--report needs matplotlib and jinja2 ({error}): pip install "mtperception[train]"'
        ) from error
    return write_report

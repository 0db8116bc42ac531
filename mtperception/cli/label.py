# SPDX-License-Identifier: Apache-2.0
"""`mtperception label`: what a data set has no ground truth for, annotated by a teacher."""

import time
from contextlib import closing
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mtperception.cli.failures import check_failures
from mtperception.cli.folders import naming_option
from mtperception.cli.option_records import with_records
from mtperception.cli.options import BackendOption, CameraFileOption, DeviceOption, PrecisionOption
from mtperception.cli.sharing import ShardOption, WorkerSettings, rate_progress
from mtperception.errors import InputError
from mtperception.resources import from_anywhere
from mtperception.scale.shard import WHOLE, Shard
from mtperception.scale.workers import distribute
from mtperception.sources.camera_file import read_camera
from mtperception.teachers import TeacherOptions, open_teacher
from mtperception.teachers.depth_network import NORMALIZATIONS, split_normalization
from mtperception.teachers.image_set import ImageSet, open_images
from mtperception.teachers.labelling import KEY_OF_TASK, Labeller, Request, label_images, open_labeller

Task = Enum('Task', {task: task for task in KEY_OF_TASK}, type=str)


@dataclass(frozen=True)
class TeacherSettings:
    """How the teacher is run, as one record of options."""

    label_space: Annotated[str, typer.Option(help='The classes of a .tflite file, such as cityscapes_19.')] = ''
    second_opinion: Annotated[
        list[str] | None,
        typer.Option(
            metavar='MODEL',
            help='Another network, such as a .tflite file of any classes, that corrects the labels; may be repeated.',
            show_default='none',
        ),
    ] = None
    judged_on: Annotated[
        str,
        typer.Option(
            metavar='FOLDER',
            help="A data set with labels of the model's classes: shows how often second opinions are right.",
            show_default='none',
        ),
    ] = ''
    depth_opinion: Annotated[
        list[str] | None,
        typer.Option(
            metavar='FILE[=NORM]',
            help='A depth network, .onnx or .tflite, that corrects the shape of the depth; may be repeated. '
            f'NORM is the normalisation of floats: {", ".join(NORMALIZATIONS)}.',
            show_default='none',
        ),
    ] = None
    disparity_opinion: Annotated[
        list[str] | None,
        typer.Option(
            metavar='FILE[=NORM]',
            help='The same for a network that gives inverse depth, such as MiDaS or Depth Anything.',
            show_default='none',
        ),
    ] = None
    camera_height: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=100.0,
            metavar='METRES',
            help="Height of a level camera above flat ground: computes depth from the model's labels and geometry.",
            show_default="the model's depth",
        ),
    ] = 0.0
    horizon: Annotated[
        float | None,
        typer.Option(
            metavar='ROW',
            help='Row of the horizon in the images, in pixels; with --camera-height.',
            show_default="the principal point's",
        ),
    ] = None
    backend: BackendOption = 'auto'
    device: DeviceOption = 'auto'
    precision: PrecisionOption = 'auto'

    @property
    def options(self) -> TeacherOptions:
        """The same for who runs it, in whatever working directory."""
        return TeacherOptions(
            self.label_space,
            self.backend,
            self.device,
            self.precision,
            camera_height=self.camera_height,
            horizon=self.horizon,
            second_opinions=tuple(map(_from_anywhere, self.second_opinion or ())),
            judged_on=self.judged_on and str(Path(self.judged_on).expanduser().absolute()),
            depth_opinions=tuple(map(_absolute_network, self.depth_opinion or ())),
            disparity_opinions=tuple(map(_absolute_network, self.disparity_opinion or ())),
        )


@with_records
def label(
    images: Annotated[
        Path, typer.Argument(help='A data set with a dataset.json, or a folder of images.', metavar='IMAGES')
    ],
    model: Annotated[
        str, typer.Option(help='The teacher: a model directory, the name of an installed model, or a .tflite file.')
    ],
    out: Annotated[Path, typer.Option(help='Folder to write the data set to; created if missing.')],
    *,
    split: Annotated[str, typer.Option(help='Split (`<split>.txt`), or a file with one id per line.')] = 'train',
    camera: CameraFileOption = '',
    task: Annotated[
        Task | None,
        typer.Option(help='Write only this task, even beside ground truth.', show_default='tasks without ground truth'),
    ] = None,
    grouping: Annotated[str, typer.Option(help="A grouping of the teacher's classes, such as kitti_6.")] = '',
    minimum_confidence: Annotated[
        float, typer.Option(min=0.0, max=1.0, help='Leave out labels with a lower confidence.')
    ] = 0.0,
    teaching: TeacherSettings,
    shard: ShardOption = WHOLE,
    workers: WorkerSettings,
) -> None:
    """Label images that have no ground truth with the labels and depth of a teacher.

    Writes a data set (--dataset folder) that refers to the images and annotations of IMAGES where they are and adds
    labels/*.png and depth/*.png. Run it again after an interruption: it resumes where it stopped. Several processes may
    write to the same folder, with or without --shard: no image is labelled twice, and the last one completes the data
    set.

    Example: mtperception label kitti --model street.tflite --label-space cityscapes_19 --grouping kitti_6 --out kitti_6
    """
    wanted = Request(task.value if task else '', grouping, minimum_confidence)
    image_set = open_images(images.expanduser(), split, read_camera(camera) if camera else None)
    if teaching.camera_height:
        _check_geometry(image_set, wanted, teaching.horizon)
    options, out, pool = teaching.options, out.expanduser(), workers.pool
    _check_opinions(image_set, wanted, options)
    start = time.monotonic()
    with closing(open_teacher(model, options)) as teacher:
        if workers.dry_run:
            _print_plan(Labeller(image_set, teacher, out, wanted), image_set, shard, workers)
            return
        worker = None
        if pool:
            there = replace(image_set, root=image_set.root.absolute())
            opener = partial(open_labeller, there, _from_anywhere(model), options, out.absolute(), wanted)
            worker = partial(distribute, opener, pool)
        with rate_progress('labelling', len(shard.positions(len(image_set.ids)))) as move, naming_option('--out'):
            done = label_images(image_set, teacher, out, wanted, move, shard, worker)
    kept = f', {done.kept} already existed' if done.kept else ''
    typer.echo(f'{out}: {done.labelled} images labelled in {time.monotonic() - start:.1f} s{kept}', err=True)
    check_failures(done.failed, 'images', f'repair them or remove them from {split}, then run it again')
    if done.missing:
        typer.echo(
            f'{out}: {done.missing} of {len(image_set.ids)} images are not labelled yet: run the other shards', err=True
        )


def _from_anywhere(model: str) -> str:
    """A teacher as a process with another working directory finds it; a file, or what `resources` knows."""
    path = Path(model).expanduser()
    return str(path.absolute()) if path.is_file() else from_anywhere('model', model)


def _absolute_network(model: str) -> str:
    path, normalization = split_normalization(model)
    return f'{_from_anywhere(path)}={normalization}'


def _check_geometry(images: ImageSet, wanted: Request, horizon: float | None) -> None:
    """Raises InputError if no image could get depth from geometry, or none is to get any."""
    if horizon is None and images.camera is None:
        raise InputError(
            f'--camera-height: {images.root} has no camera: expected fx, fy, cx, cy, width and height in its '
            'dataset.json, --camera, or --horizon'
        )
    if not _writes('depth', images, wanted):
        raise InputError('--camera-height: no depth would be written: expected --task depth')


def _check_opinions(images: ImageSet, wanted: Request, options: TeacherOptions) -> None:
    """Raises InputError for an opinion about what would not be written."""
    if options.second_opinions and not _writes('segmentation', images, wanted):
        raise InputError('--second-opinion: no labels would be written: expected --task segmentation')
    for option, given in (
        ('--depth-opinion', options.depth_opinions),
        ('--disparity-opinion', options.disparity_opinions),
    ):
        if given and not _writes('depth', images, wanted):
            raise InputError(f'{option}: no depth would be written: expected --task depth')


def _writes(task: str, images: ImageSet, wanted: Request) -> bool:
    """Whether a task is among those that are to be written."""
    return wanted.task == task or (not wanted.task and KEY_OF_TASK[task] not in images.layout)


def _print_plan(labeller: Labeller, images: ImageSet, shard: Shard, workers: WorkerSettings) -> None:
    names = [images.ids[position] for position in shard.positions(len(images.ids))]
    done = sum(map(labeller.is_done, names))
    keys = ' and '.join(labeller.keys)
    typer.echo(f'{len(names)} images: {done} are labelled, {len(names) - done} would get {keys} by {workers}')

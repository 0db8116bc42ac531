# SPDX-License-Identifier: Apache-2.0
"""Where the views of a map come from: a recording, or a folder with poses."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Protocol

from mtperception.data.folder import Folder
from mtperception.errors import InputError, SourceError
from mtperception.labels import LabelSpace, load_label_space
from mtperception.mapping.poses import PoseFile, read_matrix
from mtperception.recording.bag_files import is_bag
from mtperception.recording.options import RecordingOptions
from mtperception.recording.recording import Recording
from mtperception.synthetic import PERIOD, SyntheticRoom, pose
from mtperception.types import Frame

SYNTHETIC = 'synthetic'
"""The rendered room, as a source."""


class Views(Protocol):
    """Frames with what is known about them, poses included."""

    count: int
    """How many there are."""
    description: str
    poses: str
    """How poses are known, or why not."""
    label_space: LabelSpace | None
    """Label space of the recorded labels, if the source names one."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know; it grows while frames are read."""
        ...

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """The frames at positions 0, `every`, 2 x `every` and so on."""
        ...


class RecordedViews:
    """The frames of a bag.

    Args:
        recording: open as long as the frames are read.
    """

    label_space: LabelSpace | None = None

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self.count = recording.count
        self.description = f'{recording.topics.image} of the bag {recording.path} ({recording.count} images)'
        self.poses = recording.facts()['camera_motion']

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the recording."""
        return self._recording.notes

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """In the order of the recording."""
        return self._recording.frames(positions=range(0, self.count, every))


class FolderViews:
    """The images of a folder whose `dataset.json` says where images, camera, poses and depth are.

    Args:
        root: the folder.
    """

    def __init__(self, root: Path) -> None:
        self._folder = Folder(root, None)
        self.count = len(self._folder)
        self.description = f'the folder {root} ({self.count} images)'
        self.label_space = load_label_space(self._folder.label_space) if self._folder.label_space else None
        pattern = self._folder.pose_pattern
        self._pose_path = (lambda name: root / pattern.replace('{id}', name)) if pattern else None
        self.poses = f'matrices in {pattern}' if pattern else 'not known: dataset.json has no "pose" pattern'
        self.notes: tuple[str, ...] = ()

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """In the order of the names. The stamp of a frame is its name, where that is a number, in seconds."""
        for index in range(0, self.count, every):
            name = self._folder.ids[index]
            sample = self._folder[index]
            pose = read_matrix(self._pose_path(name)) if self._pose_path else None
            yield Frame(
                sample.image, _stamp_ns(name), sample.intrinsics, name, sample.depth, sample.labels, T_world_camera=pose
            )


class RenderedViews:
    """Once around the room that the package renders, with exact depth, labels and poses."""

    count = 72

    def __init__(self) -> None:
        self._room = SyntheticRoom(320, 240)
        self.description = f'the rendered room ({self.count} images)'
        self.label_space: LabelSpace | None = load_label_space('nyuv2_40')
        self.poses = 'exact'
        self.notes: tuple[str, ...] = ()

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """In the order of the walk."""
        for index in range(0, self.count, every):
            seconds = PERIOD * index / self.count
            sample = self._room.frame(seconds)
            yield Frame(
                sample.image,
                round(seconds * 1e9),
                self._room.intrinsics,
                str(index),
                sample.depth,
                sample.labels,
                T_world_camera=pose(seconds),
            )


class WithPoses:
    """Other views with the poses of a file.

    Args:
        views: whose own poses are not used.
        file: has them.
    """

    def __init__(self, views: Views, file: PoseFile) -> None:
        self._views, self._file = views, file
        self.count, self.description, self.label_space = views.count, views.description, views.label_space
        self._stamps: list[int] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the views."""
        return self._views.notes

    @property
    def poses(self) -> str:
        """The file, and of when the frames are that were read."""
        times = f'; images from {self._stamps[0] / 1e9:.3f} to {self._stamps[-1] / 1e9:.3f} s' if self._stamps else ''
        return f'{self._file.description}{times}'

    def frames(self, every: int = 1) -> Iterator[Frame]:
        """With the pose at the stamp of each."""
        for frame in self._views.frames(every):
            if frame.stamp_ns < 0:
                raise InputError(
                    f'image {frame.name}: --poses needs stamps: expected names that are numbers of seconds'
                )
            self._stamps.append(frame.stamp_ns)
            yield replace(frame, T_world_camera=self._file.at(frame.stamp_ns))


def open_views(
    source: Path,
    options: RecordingOptions,
    *,
    poses: Path | None = None,
    with_depth: bool = True,
) -> tuple[Views, Recording | None]:
    """The views of a source, and the recording to close, if it is one.

    Args:
        source: a bag, a folder with `dataset.json`, or `synthetic`.
        options: of a bag; the tolerance also holds for `poses`.
        poses: a file of poses in place of the source's.
        with_depth: of a bag, as for `Recording`.

    Raises:
        SourceError: if it is neither.
    """
    if str(source) == SYNTHETIC:
        return RenderedViews(), None
    source = source.expanduser()
    file = PoseFile(poses, options.tolerance) if poses else None
    if not source.exists():
        raise SourceError(
            f'{source}: no such file or folder: expected a bag, a folder with dataset.json, or {SYNTHETIC}'
        )
    recording = None
    if is_bag(source):
        recording = Recording(source, options, with_depth=with_depth)
    views = RecordedViews(recording) if recording else FolderViews(source)
    return (WithPoses(views, file) if file else views), recording


def _stamp_ns(name: str) -> int:
    """Nanoseconds of a name that is a number of seconds; -1 for another."""
    try:
        stamp = Decimal(name)
    except InvalidOperation:
        return -1
    return round(stamp * 10**9) if stamp.is_finite() and stamp >= 0 else -1

# SPDX-License-Identifier: Apache-2.0
"""What a map is made of: a source whose images have poses, its own or those of a file."""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from mtperception.errors import InputError, SourceError
from mtperception.mapping.poses import PoseFile, nanoseconds
from mtperception.recording.recording_options import DEFAULTS, RecordingOptions
from mtperception.sources import Frame, Source, SourceOptions, open_source
from mtperception.sources.bag import Bag
from mtperception.sources.source import MAPS
from mtperception.sources.video import Webcam
from mtperception.synthetic import PERIOD

ROOM = {'width': 320, 'height': 240, 'rate': 72 / PERIOD}
"""The rendered room as a source of maps: 72 images, once around."""


class WithPoses:
    """A source with the poses of a file in place of its own. Implements `Source`.

    Args:
        source: whose frames they are. Those of a folder have the stamp, in seconds, that is their name.
        file: has the poses.
    """

    def __init__(self, source: Source, file: PoseFile) -> None:
        self._source, self._file = source, file
        self.description, self.label_space = source.description, source.label_space
        self.is_stream, self.rate, self.count = source.is_stream, source.rate, source.count
        self._stamps: list[int] = []

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the source."""
        return self._source.notes

    @property
    def poses(self) -> str:
        """The file, and of when the frames are that were read."""
        times = f'; images from {self._stamps[0] / 1e9:.3f} to {self._stamps[-1] / 1e9:.3f} s' if self._stamps else ''
        return f'{self._file.description}{times}'

    def __iter__(self) -> Iterator[Frame]:
        """With the pose at the stamp of each."""
        self._stamps = []
        for frame in self._source:
            stamp_ns = frame.stamp_ns if self.is_stream else _named_stamp_ns(frame.name)
            self._stamps.append(stamp_ns)
            yield replace(frame, stamp_ns=stamp_ns, T_world_camera=self._file.at(stamp_ns))


def open_views(
    spec: str,
    recording: RecordingOptions = DEFAULTS,
    *,
    poses: Path | None = None,
    camera_file: str = '',
    every: int = 1,
    maps: Collection[str] = MAPS,
) -> Source:
    """Open what a map is to be made of.

    Args:
        spec: a bag, a folder with `dataset.json`, or `synthetic`; with `poses` also a video or other images.
        recording: how a bag is read; the tolerance is that of `poses`, where these are given.
        poses: a file of poses in place of the source's.
        camera_file: a ROS calibration, the camera of images without one.
        every: use every n-th image.
        maps: which are needed, of `MAPS`.

    Raises:
        SourceError: if there is no such source, it has no end or is of a kind without poses, or a file cannot be used.
    """
    if Webcam.accepts(spec):
        raise SourceError(f'{spec}: a camera has no end: expected a recording; mapping_node maps while it drives')
    file = PoseFile(poses, recording.tolerance) if poses else None
    if file and not Bag.accepts(spec):
        recording = replace(recording, tolerance=DEFAULTS.tolerance)  # which is for the poses, not a word about a bag
    options = SourceOptions(**ROOM, every=every, maps=maps, recording=recording, camera_file=camera_file)
    source = open_source(spec, options)
    if not (file or source.poses):
        raise SourceError(
            f'{spec}: no poses: expected a bag, a folder with dataset.json, or synthetic; of other images, --poses FILE'
        )
    return WithPoses(source, file) if file else source


def _named_stamp_ns(name: str) -> int:
    """Nanoseconds of a name that is a number of seconds.

    Raises:
        InputError: if it is none.
    """
    try:
        return nanoseconds(name)
    except InputError as error:
        raise InputError(f'image {error} (--poses needs names that are stamps)') from error

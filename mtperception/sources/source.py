# SPDX-License-Identifier: Apache-2.0
"""What every kind of source offers."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Protocol

from mtperception.labels import LabelSpace
from mtperception.recording.recording_options import DEFAULTS, RecordingOptions
from mtperception.recording.topics import TopicRequest
from mtperception.types import Frame

DEPTH, LABELS = 'depth', 'labels'
MAPS = (DEPTH, LABELS)
"""What a frame may have beside its image, of the image's size."""


@dataclass(frozen=True)
class SourceOptions:
    """What some kinds of source need to be told; the others take no notice."""

    width: int = 640
    """Width of rendered images."""
    height: int = 480
    rate: float = 0.0
    """Images per second of a source that has no rate of its own; 0 = its default."""
    every: int = 1
    """Give the frames at the positions 0, `every`, 2 x `every` and so on; of the others nothing is decoded."""
    maps: Collection[str] = MAPS
    """Which maps to read beside the images, where there are some. Camera and poses cost nothing: they always come."""
    recording: RecordingOptions = DEFAULTS
    """How a bag is read; anything but the default is refused for other sources."""
    camera_file: str = ''
    """A ROS calibration file, in YAML: the camera of images without one."""

    def positions(self, count: int) -> range:
        """Which of `count` frames are given."""
        return range(0, count, self.every)


def images_only(image_topic: str = '', camera_file: str = '', **of_source: float) -> SourceOptions:
    """For who needs images alone: no time goes into maps.

    Args:
        image_topic: of a bag; empty = found.
        camera_file: as of `SourceOptions`.
        of_source: `width`, `height` and `rate` of `SourceOptions`.
    """
    recording = RecordingOptions(TopicRequest(image=image_topic))
    return SourceOptions(**of_source, maps=(), recording=recording, camera_file=camera_file)


class Source(Protocol):
    """Images in order; each iteration starts again from the first one."""

    description: str
    """What it is, in one line."""
    is_stream: bool
    """Whether the images follow each other in time, as in a video, and not just in a folder."""
    rate: float
    """Images per second, where they come at one rate; else the mean, as far as that is known."""
    count: int | None
    """How many images there are, as far as that is known: a figure for a progress bar."""
    notes: tuple[str, ...]
    """What a user should know of what is read, and what was left out; it grows while the images are read."""
    poses: str
    """How poses are known, or why they are not; empty where this kind of source has none."""
    label_space: LabelSpace | None
    """The label space of its labels, if the source itself names one."""

    def __iter__(self) -> Iterator[Frame]:
        """Read the images one by one, each with what is known of it: camera, pose, depth, labels.

        One of many images that is damaged is left out, and told in `notes`; so is what belongs to an image.

        Raises:
            SourceError: if no image can be read, or the source ends before its time.
        """
        ...


class SourceKind(Protocol):
    """A class that makes a `Source` of a text such as a path."""

    def __call__(self, spec: str, options: SourceOptions) -> Source:
        """Open the source.

        Raises:
            SourceError: if there is no such source, or if nothing can be read from it.
        """
        ...

    def accepts(self, spec: str) -> bool:
        """Whether the text names this kind of source."""
        ...

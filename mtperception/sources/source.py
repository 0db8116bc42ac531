# SPDX-License-Identifier: Apache-2.0
"""What every kind of source offers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from mtperception.types import Frame


@dataclass(frozen=True)
class SourceOptions:
    """What some kinds of source need to be told; the others take no notice."""

    width: int = 640
    """Width of rendered images."""
    height: int = 480
    rate: float = 0.0
    """Images per second of a source that has no rate of its own; 0 = its default."""
    image_topic: str = ''
    """Image topic of a bag; empty = the first with colour or grey images."""
    pose_topic: str = ''
    """Pose topic of a bag; empty = the nearest."""


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

    def __iter__(self) -> Iterator[Frame]:
        """Read the images one by one. One of many that is damaged is left out, and told in `notes`.

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

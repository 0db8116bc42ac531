# SPDX-License-Identifier: Apache-2.0
"""Images that are there before they are asked for."""

from collections.abc import Callable, Iterator
from itertools import islice, takewhile

from mtperception.sources.source import Frame, Source


class Preloaded:
    """The first images of a source, kept in memory: to play them costs no rendering, reading or decoding.

    Args:
        source: read once, as far as need be.
        count: how many images; fewer if the source has fewer.
        stopped: asked between images whether to read no more.

    Raises:
        SourceError: at an image that cannot be read.
    """

    def __init__(self, source: Source, count: int, stopped: Callable[[], bool] = lambda: False) -> None:
        self._frames = list(takewhile(lambda _: not stopped(), islice(source, count)))
        self.is_stream = source.is_stream
        self.rate = source.rate
        self.count = len(self._frames)
        self.notes, self.poses, self.label_space = source.notes, source.poses, source.label_space
        self.description = f'{self.count} images of {source.description}'

    def __iter__(self) -> Iterator[Frame]:
        """The same images each time."""
        return iter(self._frames)

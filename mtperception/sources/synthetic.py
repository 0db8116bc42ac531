# SPDX-License-Identifier: Apache-2.0
"""The scene that the package renders itself."""

from collections.abc import Iterator

from mtperception.sources.source import Frame, SourceOptions
from mtperception.synthetic import PERIOD, SyntheticRoom

RATE = 30.0
"""Images per second when nothing else is asked for."""


class SyntheticSource:
    """One round of the camera's walk; it ends where it began, so that a loop has no seam."""

    is_stream = True
    notes: tuple[str, ...] = ()

    def __init__(self, spec: str, options: SourceOptions) -> None:
        self._room = SyntheticRoom(options.width, options.height)
        self.rate = options.rate or RATE
        self.count = max(1, round(PERIOD * self.rate))
        size = f'{options.width}x{options.height}'
        self.description = f'a synthetic room, {size} (for plumbing and timing: it says nothing about accuracy)'

    @staticmethod
    def accepts(spec: str) -> bool:
        """Whether the text is `synthetic`."""
        return spec == 'synthetic'

    def __iter__(self) -> Iterator[Frame]:
        """The images, rendered as they are asked for."""
        for index in range(self.count):
            seconds = index / self.rate
            image = self._room.frame(seconds).image
            yield Frame(image, round(seconds * 1e9), self._room.intrinsics, f'{index:06d}')

# SPDX-License-Identifier: Apache-2.0
"""The scene that the package renders itself."""

from collections.abc import Iterator

from mtperception.labels import load_label_space
from mtperception.sources.source import DEPTH, LABELS, Frame, SourceOptions
from mtperception.synthetic import LABEL_SPACE, PERIOD, SyntheticRoom, pose

RATE = 30.0
"""Images per second when nothing else is asked for."""


class SyntheticSource:
    """One round of the camera's walk, with exact depth, labels and poses; it ends where it began, without a seam."""

    is_stream = True
    notes: tuple[str, ...] = ()
    poses = 'exact'

    def __init__(self, spec: str, options: SourceOptions) -> None:
        self._room = SyntheticRoom(options.width, options.height)
        self._maps = options.maps
        self._rate = options.rate or RATE
        self.rate = self._rate / options.every
        self._positions = options.positions(max(1, round(PERIOD * self._rate)))
        self.count = len(self._positions)
        self.label_space = load_label_space(LABEL_SPACE)
        size = f'{options.width}x{options.height}'
        self.description = f'a synthetic room, {size} (for plumbing and timing: it says nothing about accuracy)'

    @staticmethod
    def accepts(spec: str) -> bool:
        """Whether the text is `synthetic`."""
        return spec == 'synthetic'

    def __iter__(self) -> Iterator[Frame]:
        """The frames, rendered as they are asked for."""
        for index in self._positions:
            seconds = index / self._rate
            sample, T_world_camera = self._room.frame(seconds), pose(seconds)
            yield Frame(
                sample.image,
                round(seconds * 1e9),
                sample.intrinsics,
                f'{index:06d}',
                sample.depth if DEPTH in self._maps else None,
                sample.labels if LABELS in self._maps else None,
                T_world_camera,
            )

# SPDX-License-Identifier: Apache-2.0
"""A ROS 2 bag, read without ROS."""

import weakref
from collections.abc import Iterator
from pathlib import Path

from mtperception.errors import SourceError
from mtperception.labels import LabelSpace
from mtperception.recording.bag_files import is_bag
from mtperception.recording.recording import RecordedFrame, Recording
from mtperception.sources.source import DEPTH, SourceOptions

RATE = 10.0
"""Images per second assumed for a recording of a single moment."""


class Bag:
    """The images of one topic of a recording, with camera, pose, depth and labels where they are known.

    The topics are chosen as everywhere (`recording.topics`). An image that is damaged is left out and counted.
    """

    is_stream = True
    label_space: LabelSpace | None = None

    def __init__(self, spec: str, options: SourceOptions) -> None:
        path = Path(spec).expanduser()
        self._recording = Recording(path, options.recording, with_depth=DEPTH in options.maps)
        weakref.finalize(self, self._recording.close)
        images, seconds = self._recording.count, self._recording.seconds
        self._positions = options.positions(images)
        self.count = len(self._positions)
        self.rate = ((images - 1) / seconds if images > 1 and seconds > 0 else RATE) / options.every
        self.description = f'{self._recording.topics.image} of the bag {path} ({images} images)'
        self.poses = self._recording.facts()['camera_motion']

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know; it grows while the images are read."""
        return self._recording.notes

    @staticmethod
    def accepts(spec: str) -> bool:
        """Whether this is the path of an .mcap or .db3 file, compressed or not, or of a folder with some."""
        return is_bag(Path(spec).expanduser())

    def __iter__(self) -> Iterator[RecordedFrame]:
        """The frames in the order of the recording.

        Raises:
            SourceError: if none can be used.
        """
        is_empty = True
        # Being a generator, this keeps the object, and so the bag, open.
        for frame in self._recording.frames(positions=self._positions):
            is_empty = False
            yield frame
        if is_empty:
            raise SourceError(f'{self._recording.path}: no usable image: {"; ".join(self.notes)}')

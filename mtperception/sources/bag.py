# SPDX-License-Identifier: Apache-2.0
"""A ROS 2 bag, read without ROS."""

import weakref
from collections.abc import Iterator
from pathlib import Path

from mtperception.errors import SourceError
from mtperception.recording.bag_files import is_bag
from mtperception.recording.options import RecordingOptions
from mtperception.recording.recording import RecordedFrame, Recording
from mtperception.recording.topics import TopicRequest
from mtperception.sources.source import SourceOptions

RATE = 10.0
"""Images per second assumed for a recording of a single moment."""


class Bag:
    """The images of one topic of a recording, with camera and pose where they are known.

    The topics are chosen as everywhere (`recording.topics`). An image that is damaged is left out and counted.
    """

    is_stream = True

    def __init__(self, spec: str, options: SourceOptions) -> None:
        path = Path(spec).expanduser()
        request = TopicRequest(image=options.image_topic, pose=options.pose_topic)
        self._recording = Recording(path, RecordingOptions(request), with_depth=False)
        weakref.finalize(self, self._recording.close)
        self.count = self._recording.count
        seconds = self._recording.seconds
        self.rate = (self.count - 1) / seconds if self.count > 1 and seconds > 0 else RATE
        self.description = f'{self._recording.topics.image} of the bag {path} ({self.count} images)'

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
        for frame in self._recording.frames():
            is_empty = False
            yield frame
        if is_empty:
            raise SourceError(f'{self._recording.path}: no usable image: {"; ".join(self.notes)}')

"""A ROS 2 bag, read without ROS."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtperception.errors import SourceError
from mtperception.messages import RefusedCameraInfoError, RefusedMessageError, intrinsics_from
from mtperception.recording.bag_file import (
    CAMERA_INFO,
    DECODERS,
    camera_info_topic,
    choose_image_topic,
    connections_of,
    deserialized,
    first_message,
    is_storage,
    open_bag,
    reading_errors,
    stamp_of,
    topics_of,
)
from mtperception.sources.source import Frame, SourceOptions
from mtperception.types import Intrinsics

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

RATE = 10.0
"""Of a recording of a single moment."""


class Bag:
    """The images of one topic of a recording, with the camera_info beside it.

    Without `image_topic` it is the first topic, by name, with colour images; else the first with grey ones. Depth
    images are none of both.
    """

    is_stream = True

    def __init__(self, spec: str, options: SourceOptions) -> None:
        self._path = Path(spec).expanduser()
        with open_bag(self._path) as reader:
            self._topic = self._chosen(options.image_topic, reader)
            self._info_topic = camera_info_topic(self._topic)
            self._first_info = first_message(reader, self._info_topic, [CAMERA_INFO])
            self.count = sum(x.msgcount for x in connections_of(reader, [self._topic], DECODERS))
            seconds = (reader.duration - 1) / 1e9  # rosbags counts the nanosecond after the last message, too
        self.rate = (self.count - 1) / seconds if self.count > 1 and seconds > 0 else RATE
        self.description = f'{self._topic} of the bag {self._path} ({self.count} images)'

    @staticmethod
    def accepts(spec: str) -> bool:
        """Whether this is the path of an .mcap or .db3 file, compressed or not, or of a folder with some."""
        path = Path(spec).expanduser()
        files = path.iterdir() if path.is_dir() else [path]
        return any(is_storage(file) and file.is_file() for file in files)

    def __iter__(self) -> Iterator[Frame]:
        """The frames in the order of the recording; the stamp is the one in the message's header."""
        info = self._first_info
        with open_bag(self._path) as reader:
            wanted = connections_of(reader, [self._topic], DECODERS)
            infos = connections_of(reader, [self._info_topic], [CAMERA_INFO])
            index = 0
            for connection, received_ns, data in self._messages(reader, [*wanted, *infos]):
                if connection.msgtype == CAMERA_INFO:
                    with suppress(RefusedMessageError):
                        info = deserialized(reader, data, CAMERA_INFO)
                    continue
                try:
                    message = deserialized(reader, data, connection.msgtype)
                    image = DECODERS[connection.msgtype](message)
                except RefusedMessageError as error:
                    raise SourceError(f'{self._path}: image {index} of {self._topic}: {error}') from error
                yield Frame(image, stamp_of(message) or received_ns, _intrinsics(info, image), f'{index:06d}')
                index += 1

    def _messages(
        self, reader: 'AnyReader', connections: Sequence['Connection']
    ) -> Iterator[tuple['Connection', int, bytes]]:
        messages = reader.messages(connections)
        while True:
            try:
                message = next(messages, None)
            except reading_errors() as error:
                raise SourceError(f'{self._path}: cannot be read to its end: {error}') from error
            if message is None:
                return
            yield message

    def _chosen(self, asked_for: str, reader: 'AnyReader') -> str:
        """The topic that was asked for, if any; else one that suits."""
        found = topics_of(reader, DECODERS)
        if asked_for and asked_for not in found:
            raise SourceError(f'{self._path}: no images on {asked_for!r}: expected one of {", ".join(found) or "none"}')
        try:
            return asked_for or choose_image_topic(reader)
        except SourceError as error:
            raise SourceError(f'{self._path}: {error}') from error


def _intrinsics(info: Any | None, image: np.ndarray) -> Intrinsics | None:
    """The camera of an image; None without a camera_info that fits."""
    try:
        return None if info is None else intrinsics_from(info, image.shape[1], image.shape[0])
    except RefusedCameraInfoError:
        return None

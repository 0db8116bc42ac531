"""A ROS 2 bag, read without ROS."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtperception.decoding import RefusedCameraInfoError, RefusedImageError, intrinsics_from
from mtperception.sources.bag_file import (
    CAMERA_INFO,
    DECODERS,
    SUFFIXES,
    camera_info_topic,
    choose_image_topic,
    connections_of,
    first_message,
    open_bag,
    stamp_of,
    topics_of,
)
from mtperception.sources.source import Frame, SourceError, SourceOptions
from mtperception.types import Intrinsics

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

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
            seconds = reader.duration / 1e9
        self.rate = self.count / seconds if seconds > 0 else RATE
        self.description = f'{self._topic} of the bag {self._path} ({self.count} images)'

    @staticmethod
    def accepts(spec: str) -> bool:
        """Whether this is the path of an .mcap or .db3 file, or of a folder with some."""
        path = Path(spec).expanduser()
        files = path.iterdir() if path.is_dir() else [path]
        return any(file.suffix in SUFFIXES and file.is_file() for file in files)

    def __iter__(self) -> Iterator[Frame]:
        """The frames in the order of the recording; the stamp is the one in the message's header."""
        info = self._first_info
        with open_bag(self._path) as reader:
            wanted = connections_of(reader, [self._topic], DECODERS)
            infos = connections_of(reader, [self._info_topic], [CAMERA_INFO])
            index = 0
            for connection, received_ns, data in reader.messages([*wanted, *infos]):
                message = reader.deserialize(data, connection.msgtype)
                if connection.msgtype == CAMERA_INFO:
                    info = message
                    continue
                image = self._decoded(message, index)
                yield Frame(image, stamp_of(message) or received_ns, _intrinsics(info, image), f'{index:06d}')
                index += 1

    def _chosen(self, asked_for: str, reader: 'AnyReader') -> str:
        """The topic that was asked for, if any; else one that suits."""
        found = topics_of(reader, DECODERS)
        if asked_for and asked_for not in found:
            raise SourceError(f'{self._path}: no images on {asked_for!r}: expected one of {", ".join(found) or "none"}')
        try:
            return asked_for or choose_image_topic(reader)
        except SourceError as error:
            raise SourceError(f'{self._path}: {error}') from error

    def _decoded(self, message: Any, index: int) -> np.ndarray:
        try:
            return DECODERS[message.__msgtype__](message)
        except RefusedImageError as error:
            raise SourceError(f'{self._path}: image {index} of {self._topic}: {error}') from error


def _intrinsics(info: Any | None, image: np.ndarray) -> Intrinsics | None:
    """The camera of an image; None without a camera_info that fits."""
    try:
        return None if info is None else intrinsics_from(info, image.shape[1], image.shape[0])
    except RefusedCameraInfoError:
        return None

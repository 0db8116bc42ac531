"""A ROS 2 bag, read without ROS."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtperception.decoding import (
    RefusedCameraInfoError,
    RefusedImageError,
    compressed_to_rgb,
    image_to_rgb,
    intrinsics_from,
)
from mtperception.sources.source import Frame, SourceError, SourceOptions
from mtperception.types import Intrinsics

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

SUFFIXES = ('.mcap', '.db3')
DECODERS = {'sensor_msgs/msg/Image': image_to_rgb, 'sensor_msgs/msg/CompressedImage': compressed_to_rgb}
"""By the type of an image topic."""
RATE = 10.0
"""Of a recording of a single moment."""
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'


class Bag:
    """The images of one topic of a recording, with the camera_info beside it.

    Without `image_topic` it is the first topic, by name, with colour images; else the first with grey ones. Depth
    images are none of both.
    """

    is_stream = True

    def __init__(self, spec: str, options: SourceOptions) -> None:
        self._path = Path(spec).expanduser()
        with self._reader() as reader:
            connections = [connection for connection in reader.connections if connection.msgtype in DECODERS]
            self._topic = self._checked(options.image_topic, reader) or self._chosen(connections, reader)
            chosen = [connection for connection in connections if connection.topic == self._topic]
            self._first_info = self._first_message(reader, self._info_connections(reader))
            seconds = reader.duration / 1e9
        self.count = sum(connection.msgcount for connection in chosen)
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
        with self._reader() as reader:
            wanted = [connection for connection in reader.connections if connection.topic == self._topic]
            index = 0
            for connection, received_ns, data in reader.messages([*wanted, *self._info_connections(reader)]):
                message = reader.deserialize(data, connection.msgtype)
                if connection.msgtype == CAMERA_INFO:
                    info = message
                    continue
                image = self._decoded(connection, message, index)
                yield Frame(image, _stamp_ns(message) or received_ns, _intrinsics(info, image), f'{index:06d}')
                index += 1

    @contextmanager
    def _reader(self) -> Iterator['AnyReader']:
        try:
            from rosbags.highlevel import AnyReader, AnyReaderError
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise SourceError(f'{self._path}: bags need rosbags: pip install "mtperception[bags]"') from error
        try:
            reader = AnyReader([self._path], default_typestore=get_typestore(Stores.ROS2_JAZZY))
            reader.open()
        except (AnyReaderError, FileNotFoundError) as error:
            raise SourceError(
                f'{self._path}: not a complete ROS 2 bag: {error} If the recording was cut off, `ros2 bag reindex` or, '
                'for .mcap, `mcap recover` may mend it'
            ) from error
        try:
            yield reader
        finally:
            reader.close()

    def _checked(self, topic: str, reader: 'AnyReader') -> str:
        """The topic that was asked for, if any."""
        found = _image_topics(reader)
        if topic and topic not in found:
            raise SourceError(f'{self._path}: no images on {topic!r}: expected one of {", ".join(found) or "none"}')
        return topic

    def _chosen(self, connections: list['Connection'], reader: 'AnyReader') -> str:
        """The topic to take when none was asked for."""
        usable: dict[str, bool] = {}
        for connection in sorted(connections, key=lambda connection: connection.topic):
            message = self._first_message(reader, [connection])
            try:
                image = DECODERS[connection.msgtype](message) if message is not None else None
            except RefusedImageError:  # depth, or something else that is not for the eye
                continue
            if image is not None:
                usable[connection.topic] = _is_grey(image)
        if not usable:
            topics = ', '.join(f'{name} ({topic.msgtype})' for name, topic in sorted(reader.topics.items()))
            raise SourceError(
                f'{self._path}: no topic with images for the eye: expected one of type {" or ".join(DECODERS)}, '
                f'found {topics or "no topic"}'
            )
        return min(usable, key=usable.__getitem__)

    def _info_connections(self, reader: 'AnyReader') -> list['Connection']:
        topic = self._topic.removesuffix('/compressed').rpartition('/')[0] + '/camera_info'
        return [x for x in reader.connections if x.topic == topic and x.msgtype == CAMERA_INFO]

    def _first_message(self, reader: 'AnyReader', connections: list['Connection']) -> Any | None:
        for connection, _, data in reader.messages(connections) if connections else ():
            return reader.deserialize(data, connection.msgtype)
        return None

    def _decoded(self, connection: 'Connection', message: Any, index: int) -> np.ndarray:
        try:
            return DECODERS[connection.msgtype](message)
        except RefusedImageError as error:
            raise SourceError(f'{self._path}: image {index} of {connection.topic}: {error}') from error


def _image_topics(reader: 'AnyReader') -> list[str]:
    return sorted({connection.topic for connection in reader.connections if connection.msgtype in DECODERS})


def _is_grey(image: np.ndarray) -> bool:
    return bool((image == image[..., :1]).all())


def _stamp_ns(message: Any) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def _intrinsics(info: Any | None, image: np.ndarray) -> Intrinsics | None:
    """The camera of an image; None without a camera_info that fits."""
    try:
        return None if info is None else intrinsics_from(info, image.shape[1], image.shape[0])
    except RefusedCameraInfoError:
        return None

"""Opening ROS 2 bags and finding topics in them, without ROS."""

import importlib
import struct
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtperception.errors import SourceError
from mtperception.messages import RefusedImageError, RefusedMessageError, compressed_to_rgb, image_to_rgb

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

SUFFIXES = ('.mcap', '.db3')
COMPRESSED = '.zstd'
"""Behind them, of a file that `ros2 bag record --compression-mode file` compressed."""
DECODERS = {'sensor_msgs/msg/Image': image_to_rgb, 'sensor_msgs/msg/CompressedImage': compressed_to_rgb}
"""By the type of an image topic."""
CAMERA_INFO = 'sensor_msgs/msg/CameraInfo'
_READ_WITH = (
    ('sqlite3', 'Error'),
    ('apsw', 'Error'),
    ('zstandard', 'ZstdError'),
    ('backports.zstd', 'ZstdError'),
    ('compression.zstd', 'ZstdError'),
)
"""Modules and errors of the libraries that rosbags reads with: which of them, its version and Python's decide."""


class BrokenBagError(SourceError):
    """A bag that is not complete, or not a bag."""


class NoBagError(SourceError):
    """Files none of which a ROS 2 recorder writes."""


@contextmanager
def open_bag(*paths: Path) -> Iterator['AnyReader']:
    """A reader of a bag: a folder, one storage file, or the storage files of one recording.

    Raises:
        SourceError: if rosbags is not installed, or there is no such bag, or it is one of ROS 1.
        BrokenBagError: if it is not complete, or no bag at all.
    """
    name = paths[0]
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore
    except ImportError as error:
        raise SourceError(f'{name}: bags need rosbags: pip install "mtperception[bags]"') from error
    if name.suffix == '.bag':
        raise SourceError(f'{name}: a ROS 1 bag: expected a ROS 2 one, which `rosbags-convert` makes of it')
    if not name.exists():
        raise SourceError(f'{name}: no such file or folder: expected a ROS 2 bag')
    try:
        reader = AnyReader(paths, default_typestore=get_typestore(Stores.ROS2_JAZZY))
        reader.open()
    except reading_errors() as error:
        raise BrokenBagError(f'{name}: not a complete ROS 2 bag: {str(error).rstrip(".")}. {_WHAT_MAY_MEND}') from error
    try:
        yield reader
    finally:
        reader.close()


_WHAT_MAY_MEND = 'If the recording was cut off, `ros2 bag reindex` or, for .mcap, `mcap recover` may mend it'


def is_storage(path: Path) -> bool:
    """Whether a file is called as those in which recorders keep messages, compressed as a whole or not."""
    return Path(path.name.removesuffix(COMPRESSED)).suffix in SUFFIXES


def reading_errors() -> tuple[type[Exception], ...]:
    """What rosbags raises at bytes that are missing or wrong: its own errors and those of what it reads with."""
    from rosbags.highlevel import AnyReaderError
    from rosbags.rosbag2 import ReaderError

    below: list[type[Exception]] = []
    for module, error in _READ_WITH:
        with suppress(ImportError):
            below.append(getattr(importlib.import_module(module), error))
    # These come of a record that ends, or says something impossible, half-way; lz4 raises RuntimeError.
    inside_a_record = (EOFError, OSError, RuntimeError, TypeError, ValueError, struct.error)
    return (AnyReaderError, ReaderError, *below, *inside_a_record)


def describe_topics(reader: 'AnyReader') -> str:
    """All topics with their types, for error messages."""
    return ', '.join(f'{name} ({topic.msgtype})' for name, topic in sorted(reader.topics.items())) or 'no topic'


def topics_of(reader: 'AnyReader', kinds: Collection[str]) -> list[str]:
    """Names of the topics of some types, sorted."""
    return sorted({connection.topic for connection in reader.connections if connection.msgtype in kinds})


def connections_of(reader: 'AnyReader', topics: Collection[str], kinds: Collection[str]) -> list['Connection']:
    """Connections of some topics, of some types only."""
    return [x for x in reader.connections if x.topic in topics and x.msgtype in kinds]


def first_message(reader: 'AnyReader', topic: str, kinds: Collection[str]) -> Any | None:
    """The first message of a topic; None without one, or if it is not one of its type.

    Raises:
        BrokenBagError: if the bag cannot be read so far.
    """
    connections = connections_of(reader, [topic], kinds)
    try:
        first = next(reader.messages(connections), None) if connections else None
    except reading_errors() as error:
        raise BrokenBagError(f'{topic}: not even its first message can be read: {error}') from error
    if first is None:
        return None
    connection, _, data = first
    try:
        return deserialized(reader, data, connection.msgtype)
    except RefusedMessageError:
        return None


def choose_image_topic(reader: 'AnyReader', leave_out: Collection[str] = ()) -> str:
    """The first topic, by name, with colour images; else the first with grey ones. Depth images are none of both.

    Raises:
        SourceError: if there is no such topic.
    """
    usable: dict[str, bool] = {}
    for topic in topics_of(reader, DECODERS):
        message = None if topic in leave_out else first_message(reader, topic, DECODERS)
        if message is None:
            continue
        try:
            usable[topic] = _is_grey(DECODERS[message.__msgtype__](message))
        except RefusedImageError:  # depth, or something else that is not for the eye
            continue
    if not usable:
        raise SourceError(
            f'no topic with images for the eye: expected one of type {" or ".join(DECODERS)}, found '
            f'{describe_topics(reader)}'
        )
    return min(usable, key=usable.__getitem__)


def camera_info_topic(image_topic: str) -> str:
    """The name that the camera_info of an image topic has by convention: beside it, whatever the transport."""
    for transport in ('/compressed', '/compressedDepth'):
        image_topic = image_topic.removesuffix(transport)
    return image_topic.rpartition('/')[0] + '/camera_info'


def deserialized(reader: 'AnyReader', data: bytes, kind: str) -> Any:
    """A message of some type.

    Raises:
        RefusedMessageError: of kind `message`, if the bytes are not one.
    """
    from rosbags.highlevel import AnyReaderError

    try:
        return reader.deserialize(data, kind)
    except AnyReaderError as error:
        raise RefusedMessageError('message', f'found {len(data)} bytes that are no {kind}: {error}') from error


def stamp_of(message: Any) -> int:
    """Nanoseconds in the header of a message; 0 if its sender gave none."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def _is_grey(image: np.ndarray) -> bool:
    return bool((image == image[..., :1]).all())

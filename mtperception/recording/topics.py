"""Which topics of a bag are scored, and against which: those asked for, else those whose types and contents fit."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mtperception.errors import SourceError
from mtperception.messages.depth_decoding import is_depth_encoding
from mtperception.messages.outputs import OUTPUTS
from mtperception.recording.bag_file import (
    CAMERA_INFO,
    DECODERS,
    camera_info_topic,
    choose_image_topic,
    describe_topics,
    first_message,
    topics_of,
)

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

ODOMETRY = 'nav_msgs/msg/Odometry'
POSE = 'geometry_msgs/msg/PoseStamped'
_NODE_OUTPUTS = tuple(output.topic for output in OUTPUTS)


@dataclass(frozen=True)
class TopicRequest:
    """Names of topics; empty = find one. Labels are only looked at when they are asked for."""

    image: str = ''
    camera_info: str = ''
    depth: str = ''
    labels: str = ''
    pose: str = ''


@dataclass(frozen=True)
class Topics:
    """Names of the topics that are used; empty = there is none."""

    image: str
    camera_info: str
    depth: str
    depth_camera_info: str
    labels: str
    pose: str

    def lines(self) -> Iterator[str]:
        """What each is, for people."""
        for role, name in vars(self).items():
            yield f'{role.replace("_", " ")}: {name or "none"}'


def choose_topics(reader: 'AnyReader', request: TopicRequest) -> Topics:
    """Find the topics of a bag.

    The image is the first, by name, with colours, else with grey values; its camera_info the one beside it, else the
    only one there is. Depth is what comes as 16UC1 or 32FC1; if there are several, one in the colour camera's frame
    and with `depth` in its name goes first. What a node of this package published is no truth and no input, and is
    passed over unless it is asked for. Poses are the first Odometry, else the first PoseStamped.

    Raises:
        SourceError: if there is no image, or a topic that is asked for is missing or of another type.
    """
    own = _node_outputs(list(reader.topics))
    image = _asked_for(reader, request.image, DECODERS) or choose_image_topic(reader, own)
    info = _asked_for(reader, request.camera_info, [CAMERA_INFO]) or _camera_info(reader, image, own)
    depth = _asked_for(reader, request.depth, DECODERS) or _depth(reader, image, own)
    if image in (depth, request.labels):
        raise SourceError(f'topic {image}: asked for as the images and as their truth: expected two topics')
    poses = [*topics_of(reader, [ODOMETRY]), *topics_of(reader, [POSE]), '']
    return Topics(
        image=image,
        camera_info=info,
        depth=depth,
        depth_camera_info=_beside(reader, depth) if depth else '',
        labels=_asked_for(reader, request.labels, DECODERS),
        pose=_asked_for(reader, request.pose, [ODOMETRY, POSE]) or poses[0],
    )


def _asked_for(reader: 'AnyReader', topic: str, kinds: Any) -> str:
    if topic and topic not in topics_of(reader, kinds):
        raise SourceError(f'no topic {topic!r} of type {" or ".join(kinds)}: the bag has {describe_topics(reader)}')
    return topic


def _camera_info(reader: 'AnyReader', image: str, own: list[str]) -> str:
    others = [topic for topic in topics_of(reader, [CAMERA_INFO]) if topic not in own]
    return _beside(reader, image) or (others[0] if len(others) == 1 else '')


def _beside(reader: 'AnyReader', image: str) -> str:
    name = camera_info_topic(image)
    return name if name in topics_of(reader, [CAMERA_INFO]) else ''


def _depth(reader: 'AnyReader', image: str, own: list[str]) -> str:
    frame = first_message(reader, image, DECODERS)
    found = []
    for topic in topics_of(reader, DECODERS):
        message = None if topic in own else first_message(reader, topic, DECODERS)
        if message is not None and is_depth_encoding(_encoding(message)):
            elsewhere = frame is not None and message.header.frame_id != frame.header.frame_id
            found.append((elsewhere, 'depth' not in topic.lower(), topic))
    return min(found)[2] if found else ''


def _encoding(message: Any) -> str:
    reads: dict[str, Callable[[Any], str]] = {
        'sensor_msgs/msg/Image': lambda image: image.encoding,
        'sensor_msgs/msg/CompressedImage': lambda image: image.format,
    }
    return reads[message.__msgtype__](message)


def _node_outputs(topics: list[str]) -> list[str]:
    """Topics that a node of this package published, told by its list of classes."""
    spaces = [topic.removesuffix('semantic/classes') for topic in topics if topic.endswith('/semantic/classes')]
    return [
        topic
        for topic in topics
        for space in spaces
        if any(f'{topic}/'.startswith(f'{space}{output}/') for output in _NODE_OUTPUTS)
    ]

"""The first pass over a bag: when everything was recorded, and how the cameras are placed and move."""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mtperception.messages import RefusedMessageError
from mtperception.recording.bag_file import CAMERA_INFO, DECODERS, deserialized, stamp_of
from mtperception.recording.topics import ODOMETRY, Topics
from mtperception.recording.transform_tree import Trajectory, TransformTree, frame_name

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

TF = 'tf2_msgs/msg/TFMessage'
_CDR_HEADER = {1: struct.Struct('<iII'), 0: struct.Struct('>iII')}
"""Seconds, nanoseconds and length of the frame_id, by the last bit of a CDR message's second byte: its byte order."""
_HEADER_AT = 4
"""Behind the four bytes in which CDR says what it is."""
_FRAME_AT = 16

Motion = Callable[[int], np.ndarray | None]
"""From a stamp to `T_world_camera`, float64 4,4; None when it is not known."""


@dataclass
class Survey:
    """What the first pass finds."""

    stamps: dict[str, list[int]] = field(default_factory=dict)
    """By topic of images, in the order of the recording: nanoseconds of the header, else of the reception."""
    kinds: dict[str, str] = field(default_factory=dict)
    """By topic of images: the type."""
    frames: dict[str, str] = field(default_factory=dict)
    """By topic of images: the frame_id of the first message."""
    infos: dict[str, Any] = field(default_factory=dict)
    """By topic: the first CameraInfo."""
    tree: TransformTree = field(default_factory=TransformTree)
    pose_frame: str = ''
    """What the pose topic gives the pose of."""
    pose_stamps: list[int] = field(default_factory=list)
    poses: list[np.ndarray] = field(default_factory=list)
    pose_kind: str = ''
    refused: dict[str, str] = field(default_factory=dict)
    """By topic: why its first unusable message, images left out, was refused."""


def wanted_connections(reader: 'AnyReader', topics: Topics) -> list['Connection']:
    """Connections of the chosen topics and of all transforms."""
    names = {name for name in vars(topics).values() if name}
    return [x for x in reader.connections if x.topic in names or x.msgtype == TF]


def survey(reader: 'AnyReader', topics: Topics, messages: Iterable[tuple['Connection', int, bytes]]) -> Survey:
    """Go through the messages of the `wanted_connections`; of images only the header is looked at."""
    found = Survey({topic: [] for topic in (topics.image, topics.depth, topics.labels) if topic})
    for connection, received_ns, data in messages:
        if connection.msgtype in DECODERS:
            stamp_ns, frame = raw_header(data)
            found.stamps[connection.topic].append(stamp_ns or received_ns)
            found.kinds.setdefault(connection.topic, connection.msgtype)
            found.frames.setdefault(connection.topic, frame)
            continue
        try:
            _add(found, connection.topic, deserialized(reader, data, connection.msgtype), received_ns)
        except RefusedMessageError as error:
            found.refused.setdefault(connection.topic, str(error))
    return found


def raw_header(data: bytes) -> tuple[int, str]:
    """Stamp in nanoseconds and frame_id of the header that a serialised message starts with; 0 and '' without one."""
    if len(data) < _FRAME_AT:
        return 0, ''
    seconds, nanoseconds, length = _CDR_HEADER[data[1] & 1].unpack_from(data, _HEADER_AT)
    frame = bytes(data[_FRAME_AT : _FRAME_AT + length]).rstrip(b'\0').decode(errors='replace')
    return seconds * 10**9 + nanoseconds, frame_name(frame)


def _add(found: Survey, topic: str, message: Any, received_ns: int) -> None:
    if message.__msgtype__ == TF:
        found.tree.add(message, static=topic.endswith('tf_static'))
    elif message.__msgtype__ == CAMERA_INFO:
        found.infos.setdefault(topic, message)
    else:
        _add_pose(found, message, received_ns)


def camera_motion(found: Survey, image_topic: str, *, pose_asked_for: bool) -> tuple[Motion | None, str]:
    """How the camera moves, by the best that the bag has, and in words what that is.

    In this order: odometry, whose child frame must be connected to the camera's by static transforms; transforms that
    move the camera's frame; a PoseStamped, which has no child frame and is taken for the pose of the camera's optical
    frame. A pose topic that is asked for goes before the transforms.
    """
    frame = found.frames.get(image_topic, '')
    by_pose = _by_pose_topic(found, frame) if found.poses else (None, 'not known: no poses in the bag')
    weak = found.pose_kind != ODOMETRY and not pose_asked_for
    if by_pose[0] is not None and not weak:
        return by_pose
    if found.tree.moves(frame) and not pose_asked_for:
        root = found.tree.root(frame)
        return lambda stamp_ns: found.tree.find(root, frame, stamp_ns), f'transforms from {frame} to {root}'
    return by_pose


def _by_pose_topic(found: Survey, frame: str) -> tuple[Motion | None, str]:
    trajectory = Trajectory(found.pose_stamps, np.array(found.poses))
    if found.pose_kind != ODOMETRY:
        return trajectory.at, 'PoseStamped, taken for the pose of the optical frame'
    body = found.pose_frame
    T_body_camera = found.tree.find(body, frame, None)
    if T_body_camera is None:
        return None, f'not known: odometry of {body!r}, but no static transform from there to {frame!r}'

    def motion(stamp_ns: int) -> np.ndarray | None:
        T_world_body = trajectory.at(stamp_ns)
        return None if T_world_body is None else T_world_body @ T_body_camera

    return motion, f'odometry of {body}'


def _add_pose(found: Survey, message: Any, received_ns: int) -> None:
    found.pose_kind = message.__msgtype__
    pose = message.pose
    if found.pose_kind == ODOMETRY:
        found.pose_frame, pose = frame_name(message.child_frame_id), pose.pose
    p, q = pose.position, pose.orientation
    found.pose_stamps.append(stamp_of(message) or received_ns)
    found.poses.append(np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w]))

# SPDX-License-Identifier: Apache-2.0
"""The first pass over a recording: when everything was recorded, and how the cameras are placed and move."""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mtperception.messages import RefusedMessageError
from mtperception.messages.message import CAMERA_INFO
from mtperception.messages.names import frame_name
from mtperception.messages.stamps import nanoseconds, stamp_of
from mtperception.recording.bag_reader import BagReader
from mtperception.recording.image_topics import DECODERS
from mtperception.recording.nearest_transforms import nearest_tree
from mtperception.recording.storage import Connection, StoredMessage
from mtperception.recording.topics import ODOMETRY, POSE, Topics, topics_of
from mtperception.recording.transform_tree import TransformTree, is_pose

TF = 'tf2_msgs/msg/TFMessage'
_USED = (*DECODERS, CAMERA_INFO, ODOMETRY, POSE)
"""Types of the topics that have a role; another one that a topic has as well is none of them."""
_CDR_HEADER = {1: struct.Struct('<iII'), 0: struct.Struct('>iII')}
"""Seconds, nanoseconds and length of the frame_id, by the last bit of a CDR message's second byte: its byte order."""
_HEADER_AT = 4
"""Behind the four bytes in which CDR says what it is."""
_FRAME_AT = 16


@dataclass
class FirstPass:
    """What the first pass finds."""

    stamps: dict[str, list[int]] = field(default_factory=dict)
    """By topic of images, in the order of the recording: nanoseconds of the header, else of the reception."""
    received_ns: tuple[int, int] = (0, 0)
    """When the first and the last image was received."""
    kinds: dict[str, str] = field(default_factory=dict)
    """By topic of images: the type."""
    frames: dict[str, str] = field(default_factory=dict)
    """By topic of images: the frame_id of the first message that has one."""
    infos: dict[str, Any] = field(default_factory=dict)
    """By topic: the first CameraInfo."""
    depth_infos: list[tuple[int, Any]] = field(default_factory=list)
    """How many depth images came before, and the depth's CameraInfo: the first, and each that says something else."""
    trees: dict[str, TransformTree] = field(default_factory=dict)
    """By topic of transforms."""
    tree: TransformTree = field(default_factory=TransformTree)
    """Transforms that concern the images."""
    pose_frame: str = ''
    """What the pose topic gives the pose of."""
    pose_stamps: list[int] = field(default_factory=list)
    poses: list[np.ndarray] = field(default_factory=list)
    pose_kind: str = ''
    refused: dict[str, str] = field(default_factory=dict)
    """By topic: why its first unusable message, images left out, was refused."""
    notes: list[str] = field(default_factory=list)


def used_connections(reader: BagReader, topics: Topics) -> list[Connection]:
    """Connections of the chosen topics and of all transforms."""
    names = {name for name in topics.roles().values() if name}
    return [x for x in reader.connections if x.kind == TF or (x.topic in names and x.kind in _USED)]


def first_pass(reader: BagReader, topics: Topics, messages: Iterable[StoredMessage]) -> FirstPass:
    """Go through the messages of the `used_connections`; of images only the header is looked at."""
    found = FirstPass({topic: [] for topic in (topics.image, topics.depth, topics.labels) if topic})
    for connection, received_ns, data in messages:
        if connection.kind in DECODERS:
            stamp_ns, frame = raw_header(data)
            found.stamps[connection.topic].append(stamp_ns or received_ns)
            if connection.topic == topics.image:
                found.received_ns = (found.received_ns[0] or received_ns, received_ns)
            found.kinds.setdefault(connection.topic, connection.kind)
            if frame:
                found.frames.setdefault(connection.topic, frame)
            continue
        try:
            _add(found, topics, connection.topic, reader.deserialized(data, connection.kind), received_ns)
        except RefusedMessageError as error:
            found.refused.setdefault(connection.topic, str(error))
    others = [topic for topic in topics_of(reader, DECODERS) if topic not in topics.roles().values()]
    found.tree, found.notes = nearest_tree(found.trees, topics.image, others)
    return found


def raw_header(data: bytes) -> tuple[int, str]:
    """Stamp in nanoseconds and frame_id of the header that a serialised message starts with; 0 and '' without one."""
    if len(data) < _FRAME_AT:
        return 0, ''
    seconds, fraction, length = _CDR_HEADER[data[1] & 1].unpack_from(data, _HEADER_AT)
    frame = bytes(data[_FRAME_AT : _FRAME_AT + length]).rstrip(b'\0').decode(errors='replace')
    return nanoseconds(seconds, fraction), frame_name(frame)


def _add(found: FirstPass, topics: Topics, topic: str, message: Any, received_ns: int) -> None:
    if message.__msgtype__ == TF:
        found.trees.setdefault(topic, TransformTree()).add(message, static=topic.endswith('tf_static'))
    elif message.__msgtype__ == CAMERA_INFO:
        found.infos.setdefault(topic, message)
        if topic == topics.depth_camera_info:
            _add_depth_info(found, len(found.stamps[topics.depth]), message)
    else:
        _add_pose(found, message, received_ns)


def _add_depth_info(found: FirstPass, position: int, message: Any) -> None:
    if not found.depth_infos or _calibration(found.depth_infos[-1][1]) != _calibration(message):
        found.depth_infos.append((position, message))


def _calibration(message: Any) -> bytes:
    """What intrinsics are made of, to compare by; NaN equals NaN."""
    roi = message.roi
    window = (roi.x_offset, roi.y_offset, roi.width, roi.height)
    sizes = (message.width, message.height, message.binning_x, message.binning_y, *window)
    return np.array([*sizes, *message.k, *message.p], np.float64).tobytes()


def _add_pose(found: FirstPass, message: Any, received_ns: int) -> None:
    found.pose_kind = message.__msgtype__
    pose = message.pose
    if found.pose_kind == ODOMETRY:
        found.pose_frame, pose = frame_name(message.child_frame_id), pose.pose
    p, q = pose.position, pose.orientation
    values = np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w])
    if not is_pose(values):
        raise RefusedMessageError(
            'message', f'found the pose {values.tolist()}, expected finite numbers and a quaternion that is not 0'
        )
    found.pose_stamps.append(stamp_of(message) or received_ns)
    found.poses.append(values)

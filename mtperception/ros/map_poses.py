# SPDX-License-Identifier: Apache-2.0
"""Where the camera is when a frame was taken: by tf, or by a topic of poses."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.duration import Duration
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time

from mtperception.errors import MissingPackageError
from mtperception.mapping.parameters import ODOMETRY, TF, MappingSettings
from mtperception.mapping.pose_buffer import PoseBuffer
from mtperception.messages.stamps import stamp_of
from mtperception.recording.transform_tree import pose_matrix

POSE_QOS = QoSProfile(depth=100, reliability=ReliabilityPolicy.BEST_EFFORT)


class PoseSource(Protocol):
    """Knows poses."""

    def find(self, frame_id: str, stamp_ns: int) -> tuple[np.ndarray | None, str]:
        """`T_map_camera` of a camera's frame, float64 4,4; or None and why not."""
        ...

    def may_improve(self, stamp_ns: int, *, is_known: bool) -> bool:
        """Whether messages that are still to come may give a pose, or a better one than is known."""
        ...

    def destroy(self) -> None:
        """Leave the graph."""
        ...


def open_poses(node: LifecycleNode, settings: MappingSettings, arrived: Callable[[], None]) -> PoseSource:
    """The source that the settings name.

    Args:
        node: owns subscriptions.
        settings: of the node.
        arrived: called in the executor's thread after each pose.

    Raises:
        ImportError: for tf without tf2_ros.
    """
    if settings.pose_source == TF:
        return TransformPoses(node, settings)
    return TopicPoses(node, settings, arrived)


class TransformPoses:
    """By tf2_ros, which comes with a ROS installation."""

    def __init__(self, node: LifecycleNode, settings: MappingSettings) -> None:
        self._frame, self._tolerance = settings.map_frame, settings.pose_tolerance
        self._buffer, self._listener = _transforms(node)

    def find(self, frame_id: str, stamp_ns: int) -> tuple[np.ndarray | None, str]:
        """As tf has it at the stamp."""
        return _looked_up(self._buffer, self._frame, frame_id, Time(nanoseconds=stamp_ns))

    def may_improve(self, stamp_ns: int, *, is_known: bool) -> bool:
        """What tf knows of a time it has interpolated."""
        return not is_known

    def destroy(self) -> None:
        """Take the listener off the graph."""
        self._listener.unregister()


class TopicPoses:
    """By Odometry or PoseStamped on the topic `pose`.

    A PoseStamped is taken for the pose of the camera's optical frame. Odometry gives that of its child frame, which is
    the camera's, or is connected with it by tf.
    """

    def __init__(self, node: LifecycleNode, settings: MappingSettings, arrived: Callable[[], None]) -> None:
        self._node, self._arrived = node, arrived
        self._poses = PoseBuffer(settings.pose_tolerance)
        self._body = ''
        self._buffer = self._listener = None
        kind = Odometry if settings.pose_source == ODOMETRY else PoseStamped
        self._subscription = node.create_subscription(kind, 'pose', self._take, POSE_QOS)

    def find(self, frame_id: str, stamp_ns: int) -> tuple[np.ndarray | None, str]:
        """Interpolated, or the nearest within the tolerance."""
        T_map_body = self._poses.at(stamp_ns)
        if T_map_body is None:
            return None, f'no pose within {self._poses.tolerance:g} s'
        if self._body in ('', frame_id):
            return T_map_body, ''
        T_body_camera, why = self._from_body(frame_id)
        return (None, why) if T_body_camera is None else (T_map_body @ T_body_camera, '')

    def may_improve(self, stamp_ns: int, *, is_known: bool) -> bool:
        """Until a newer one has come: what is known before is only the nearest."""
        return self._poses.newest_ns is None or self._poses.newest_ns < stamp_ns

    def destroy(self) -> None:
        """Take the subscriptions off the graph."""
        self._node.destroy_subscription(self._subscription)
        if self._listener is not None:
            self._listener.unregister()

    def _take(self, message: Odometry | PoseStamped) -> None:
        pose = message.pose
        if isinstance(message, Odometry):
            self._body, pose = message.child_frame_id.lstrip('/'), message.pose.pose
        p, q = pose.position, pose.orientation
        self._poses.add(stamp_of(message), np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w]))
        self._arrived()

    def _from_body(self, frame_id: str) -> tuple[np.ndarray | None, str]:
        if self._buffer is None:
            try:
                self._buffer, self._listener = _transforms(self._node)
            except MissingPackageError:
                return None, f'pose of {self._body}, images in {frame_id}, and no tf2_ros to connect them'
        return _looked_up(self._buffer, self._body, frame_id, Time())


def _transforms(node: LifecycleNode) -> tuple[Any, Any]:
    try:
        from tf2_ros import Buffer, TransformListener
    except ImportError as error:
        raise MissingPackageError(
            f'pose_source tf needs tf2_ros ({error}), which comes with ROS: source its setup.bash, or use '
            'pose_source odometry or pose_stamped'
        ) from error
    buffer = Buffer(cache_time=Duration(seconds=10))
    return buffer, TransformListener(buffer, node)


def _looked_up(buffer: Any, target: str, source: str, time: Time) -> tuple[np.ndarray | None, str]:
    from tf2_ros import TransformException

    try:
        transform = buffer.lookup_transform(target, source, time).transform
    except TransformException as error:
        return None, f'tf: {error}'
    t, q = transform.translation, transform.rotation
    return pose_matrix(np.array([t.x, t.y, t.z, q.x, q.y, q.z, q.w])), ''

# SPDX-License-Identifier: Apache-2.0
"""Where the camera is when a frame was taken: by tf, or by a topic of poses."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time

from mtperception.errors import MissingPackageError
from mtperception.mapping.parameters import ODOMETRY, TF, MappingSettings
from mtperception.mapping.pose_buffer import PoseBuffer
from mtperception.messages.names import frame_name
from mtperception.messages.stamps import stamp_of
from mtperception.recording.transform_tree import pose_matrix
from mtperception.ros.node import ManagedNode
from mtperception.ros.qos import subscribe

CACHE_S = 10
"""That tf remembers."""
LARGEST_STEP_BACK_NS = 1_000_000_000
"""Between stamps of frames, by the same clock."""
POLL_S = 0.05
"""Between looks for a transform that is waited for."""
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


def open_poses(node: ManagedNode, settings: MappingSettings, arrived: Callable[[], None]) -> PoseSource:
    """The source that the settings name.

    Args:
        node: owns subscriptions.
        settings: of the node.
        arrived: called in the executor's thread when there may be new poses.

    Raises:
        MissingPackageError: for tf without tf2_ros.
    """
    if settings.pose_source == TF:
        return TransformPoses(node, settings, arrived)
    return TopicPoses(node, settings, arrived)


class TransformPoses:
    """By tf2_ros, of the package tf2_ros_py."""

    def __init__(self, node: ManagedNode, settings: MappingSettings, arrived: Callable[[], None]) -> None:
        self._map_frame, self._camera_frame = settings.map_frame, ''
        self._transforms = Transforms(node, arrived)

    def find(self, frame_id: str, stamp_ns: int) -> tuple[np.ndarray | None, str]:
        """As tf has it at the stamp."""
        self._camera_frame = frame_id
        return self._transforms.find(self._map_frame, frame_id, stamp_ns)

    def may_improve(self, stamp_ns: int, *, is_known: bool) -> bool:
        """Until tf knows of a later time; what it knows of a time it has interpolated."""
        return not is_known and not self._transforms.is_past(self._map_frame, self._camera_frame, stamp_ns)

    def destroy(self) -> None:
        """Take the listener off the graph."""
        self._transforms.destroy()


class TopicPoses:
    """By Odometry or PoseStamped on the topic `pose`.

    A PoseStamped is taken for the pose of the camera's optical frame. Odometry gives that of its child frame, which is
    the camera's, or is connected with it by tf.
    """

    def __init__(self, node: ManagedNode, settings: MappingSettings, arrived: Callable[[], None]) -> None:
        self._node, self._arrived = node, arrived
        self._poses = PoseBuffer(settings.pose_tolerance)
        self._map_frame = settings.map_frame
        self._refusal = ''
        """Why the newest pose cannot be used; empty if it can."""
        self._body = ''
        self._transforms: Transforms | None = None
        self._lacks_transform = False
        """Whether the newest pose that was looked for is known of the body but not of the camera."""
        kind = Odometry if settings.pose_source == ODOMETRY else PoseStamped
        self._subscription = subscribe(node, kind, 'pose', self._take, POSE_QOS, node.qos_warnings)

    def find(self, frame_id: str, stamp_ns: int) -> tuple[np.ndarray | None, str]:
        """Interpolated, or the nearest within the tolerance."""
        self._lacks_transform = False
        if self._refusal:
            return None, self._refusal
        T_map_body = self._poses.at(stamp_ns)
        if T_map_body is None:
            return None, f'no pose within {self._poses.tolerance:g} s'
        if self._body in ('', frame_id):
            return T_map_body, ''
        T_body_camera, why = self._from_body(frame_id, stamp_ns)
        return (None, why) if T_body_camera is None else (T_map_body @ T_body_camera, '')

    def may_improve(self, stamp_ns: int, *, is_known: bool) -> bool:
        """Until a newer one has come: what is known before is only the nearest; and while tf may still connect it."""
        return self._lacks_transform or self._poses.newest_ns is None or self._poses.newest_ns < stamp_ns

    def destroy(self) -> None:
        """Take the subscriptions off the graph."""
        self._node.destroy_subscription(self._subscription)
        if self._transforms is not None:
            self._transforms.destroy()

    def _take(self, message: Odometry | PoseStamped) -> None:
        pose, frame = message.pose, frame_name(message.header.frame_id)
        self._refusal = ''
        if frame not in ('', self._map_frame):
            self._refusal = (
                f'poses are in {frame}, map_frame is {self._map_frame}: expected the same (map_frame:={frame})'
            )
        if isinstance(message, Odometry):
            self._body, pose = frame_name(message.child_frame_id), message.pose.pose
            if not self._body:
                self._refusal = 'odometry without child_frame_id: expected the frame of the robot or of the camera'
        p, q = pose.position, pose.orientation
        self._poses.add(stamp_of(message), np.array([p.x, p.y, p.z, q.x, q.y, q.z, q.w]))
        self._arrived()

    def _from_body(self, frame_id: str, stamp_ns: int) -> tuple[np.ndarray | None, str]:
        """`T_body_camera`, of tf, which is listened to from the first time on."""
        if self._transforms is None:
            try:
                self._transforms = Transforms(self._node, self._arrived)
            except MissingPackageError:
                return None, f'pose of {self._body}, images in {frame_id}, and no tf2_ros to connect them'
        found, why = self._transforms.find(self._body, frame_id, stamp_ns)
        self._lacks_transform = found is None
        return found, why


class Transforms:
    """tf, listened to by the executor of a node.

    Args:
        node: owns subscriptions.
        arrived: called in the executor's thread now and then, for whoever waits for a transform.

    Raises:
        MissingPackageError: without tf2_ros.
    """

    def __init__(self, node: ManagedNode, arrived: Callable[[], None]) -> None:
        try:
            from tf2_ros import Buffer, TransformException, TransformListener
        except ImportError as error:
            raise MissingPackageError(
                f'pose_source tf needs tf2_ros ({error}), which is in the package tf2_ros_py: install that, source '
                'setup.bash, or use pose_source odometry or pose_stamped'
            ) from error
        self._node, self._error = node, TransformException
        self._buffer = Buffer(cache_time=Duration(seconds=CACHE_S))
        self._listener = TransformListener(self._buffer, node)
        self._newest_ns = 0
        """Stamp of the newest frame."""
        self._timer = node.create_timer(POLL_S, arrived, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def find(self, target: str, source: str, stamp_ns: int) -> tuple[np.ndarray | None, str]:
        """`T_target_source` at a time, float64 4,4; or None and why not."""
        if stamp_ns <= 0:  # of 0 tf gives the newest transform
            return None, f'tf: found a stamp of {stamp_ns / 1e9:g} s, expected a time after 0'
        if stamp_ns < self._newest_ns - LARGEST_STEP_BACK_NS:
            self._buffer.clear()  # the clock was set back: tf would refuse transforms older than what it knows
            self._newest_ns = stamp_ns
        self._newest_ns = max(self._newest_ns, stamp_ns)
        try:
            transform = self._buffer.lookup_transform(target, source, Time(nanoseconds=stamp_ns)).transform
        except self._error as error:
            return None, f'tf: {error}'
        t, q = transform.translation, transform.rotation
        return pose_matrix(np.array([t.x, t.y, t.z, q.x, q.y, q.z, q.w])), ''

    def is_past(self, target: str, source: str, stamp_ns: int) -> bool:
        """Whether the frames are connected, and at a later time than this: what is missing before will not come."""
        try:
            return self._buffer.get_latest_common_time(target, source).nanoseconds > stamp_ns
        except self._error:
            return False

    def destroy(self) -> None:
        """Leave the graph."""
        self._node.destroy_timer(self._timer)
        self._listener.unregister()

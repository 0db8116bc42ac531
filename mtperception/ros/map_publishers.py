# SPDX-License-Identifier: Apache-2.0
"""The topics that a map is published on."""

import time
from contextlib import ExitStack
from typing import Any

import numpy as np
from rclpy.event_handler import QoSPublisherMatchedInfo
from rclpy.exceptions import InvalidHandle
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import Marker

from mtperception.labels import LabelSpace
from mtperception.mapping.block_changes import BlockChanges
from mtperception.mapping.surface import Surface
from mtperception.mapping.volume import SemanticVolume
from mtperception.ros.map_messages import map_cloud, map_marker, map_points, map_update
from mtperception.ros.node import ManagedNode
from mtperception.ros.publishers import LATCHED_QOS
from mtperception.ros.qos import advertise

UPDATES_QOS = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""Who follows updates must not miss one: as many wait for a slow subscriber."""
NEVER = -1
LATCHED_S = 30.0
"""How old a latched map may become while nobody listens."""
REST = 4.0
"""Times as long as a publication took, the next one waits: else a large map would leave no time to fuse frames."""


class MapPublishers:
    """`map/points`, `map/updates` and `map/mesh`, each published when the map changed and somebody listens.

    Args:
        node: owns the publishers.
        space: of the labels.
        id_table: uint8 256, from class indices to published ids.
        map_frame: frame of the map.
    """

    def __init__(self, node: ManagedNode, space: LabelSpace, id_table: np.ndarray, map_frame: str) -> None:
        self._node, self._space, self._ids, self._map_frame = node, space, id_table, map_frame
        self._is_destroyed = False
        self._has_newcomers = True
        """Whether somebody follows the updates who does not know what was published before."""
        self._changes, self._number = BlockChanges(), 0
        self.begin_anew()
        with ExitStack() as undo:
            self._points = self._create(undo, PointCloud2, 'map/points', LATCHED_QOS)
            self._updates = self._create(undo, PointCloud2, 'map/updates', UPDATES_QOS, matched=self._note_match)
            self._mesh = self._create(undo, Marker, 'map/mesh', LATCHED_QOS)
            self._undo = undo.pop_all()

    def begin_anew(self) -> None:
        """Publish the map as a whole next time, changed or not: it is another one, or nobody heard of it."""
        self._published_frames = self._updated_frames = self._meshed_frames = NEVER
        self._has_newcomers = True
        self._published_at = self._next_at = 0.0
        """Seconds of the monotonic clock."""

    def publish(self, volume: SemanticVolume, min_views: int) -> None:
        """Publish the map to those who have not got it as it is now; in the thread that changes it.

        Args:
            volume: the map.
            min_views: frames that must have seen what is published.
        """
        start = time.monotonic()
        if start < self._next_at:
            return
        try:
            self._publish(volume, min_views)
        except InvalidHandle:
            if not self._is_destroyed:
                raise
        self._next_at = time.monotonic() + REST * (time.monotonic() - start)

    def _publish(self, volume: SemanticVolume, min_views: int) -> None:
        frames = volume.frames
        # What is latched there is of another map, if this one was never published: then it is, whoever listens.
        are_points_due = self._published_frames == NEVER or (
            self._published_frames != frames and (self._points.get_subscription_count() > 0 or self._is_stale)
        )
        is_mesh_due = self._meshed_frames != frames and self._mesh.get_subscription_count() > 0
        is_update_due = self._updates.get_subscription_count() > 0 and (
            self._updated_frames != frames or self._has_newcomers
        )
        if not (are_points_due or is_mesh_due or is_update_due):
            return
        surface = volume.surface(min_views)
        header = Header(frame_id=self._map_frame, stamp=self._node.get_clock().now().to_msg())
        if are_points_due:
            self._points.publish(map_cloud(map_points(surface, self._ids), header))
            self._published_frames, self._published_at = frames, time.monotonic()
        if is_update_due:
            self._publish_update(surface, volume.block_keys(surface.vertices), header)
            self._updated_frames = frames
        if is_mesh_due:
            self._mesh.publish(map_marker(surface, self._space, header))
            self._meshed_frames = frames

    @property
    def _is_stale(self) -> bool:
        """Whether what is latched is too old for somebody who comes later."""
        return time.monotonic() - self._published_at > LATCHED_S

    def destroy(self) -> None:
        """Leave the graph."""
        self._is_destroyed = True
        self._undo.close()

    def _publish_update(self, surface: Surface, blocks: np.ndarray, header: Header) -> None:
        """What changed since the last message; everything, in a message numbered 0, if somebody has not got it."""
        if self._has_newcomers:
            self._has_newcomers, self._changes, self._number = False, BlockChanges(), 0
        points = map_points(surface, self._ids)
        changes = self._changes.update(points, blocks)
        if self._number == 0 or changes.any:
            kept = changes.changed
            self._updates.publish(map_update(self._number, points[kept], blocks[kept], changes.emptied, header))
            self._number += 1

    def _note_match(self, info: QoSPublisherMatchedInfo) -> None:
        if info.current_count_change > 0:
            self._has_newcomers = True

    def _create(self, undo: ExitStack, kind: type, topic: str, qos: QoSProfile, **events: Any) -> Any:
        publisher = advertise(self._node, kind, topic, qos, self._node.qos_warnings, **events)
        undo.callback(self._node.destroy_lifecycle_publisher, publisher)
        return publisher

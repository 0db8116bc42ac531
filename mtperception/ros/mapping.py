# SPDX-License-Identifier: Apache-2.0
"""What the mapping node has from configure to cleanup: the map, the topics, and the worker between them."""

import threading
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.exceptions import InvalidHandle
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from mtperception.atomic_write import atomic_folder, write_json_atomically
from mtperception.errors import MTPerceptionError
from mtperception.labels import load_label_space
from mtperception.mapping.export import ENTRIES, SUMMARY, write_map
from mtperception.mapping.frame import MapFrame
from mtperception.mapping.mapper import Mapper
from mtperception.mapping.parameters import MappingSettings
from mtperception.mapping.stamped_sets import StampedSets
from mtperception.mapping.summary import summary
from mtperception.mapping.surface import Surface
from mtperception.messages import RefusedMessageError, image_to_depth, image_to_labels, image_to_rgb, intrinsics_from
from mtperception.messages.stamps import stamp_of
from mtperception.ros.map_diagnostics import MapStatus, map_diagnostics
from mtperception.ros.map_messages import map_cloud, map_marker
from mtperception.ros.map_poses import PoseSource, open_poses
from mtperception.ros.node import ManagedNode
from mtperception.ros.publishers import LATCHED_QOS
from mtperception.ros.worker import LatestWorker

DEPTH, LABELS, CONFIDENCE, INFO, IMAGE = (
    'depth/image',
    'semantic/image',
    'semantic/confidence',
    'depth/camera_info',
    'image',
)
NEEDED = (DEPTH, LABELS, CONFIDENCE, INFO)
TYPES = {DEPTH: Image, LABELS: Image, CONFIDENCE: Image, INFO: CameraInfo, IMAGE: Image}
INPUT_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
PATIENCE_S = 60.0
"""That a service waits for the worker."""
HISTORY = 100
"""Frames whose figures are kept."""
FRAME, PUBLICATION, RESET, SAVING = 'frame', 'publication', 'reset', 'saving'
"""Senders of the worker's jobs, of each of which the newest counts."""


class Mapping:
    """The component of the mapping node.

    Raises:
        MTPerceptionError, OSError: if the settings cannot be used.
    """

    def __init__(self, node: ManagedNode, settings: MappingSettings) -> None:
        self.settings = settings
        self._node = node
        self._space = load_label_space(settings.label_space)
        self._ids = self._space.id_table(settings.label_offset)
        self._mapper = self._new_mapper()
        self.dropped: Counter[str] = Counter()
        """Frames by reason."""
        self.last_reason = ''
        self._lock = threading.Lock()
        """Of the counters, which two threads write."""
        self._status = MapStatus.of(self._mapper)
        self._sets = StampedSets()
        self._waiting: dict[str, Any] | None = None
        self._poses: PoseSource | None = None
        self._published_frames = self._meshed_frames = 0
        self._destroyed = False
        self._listening = ExitStack()
        with ExitStack() as undo:
            self._points = self._publisher(undo, PointCloud2, 'map/points')
            self._updates = self._publisher(undo, PointCloud2, 'map/updates')
            self._mesh = self._publisher(undo, Marker, 'map/mesh')
            for name, sender, work in (('map/save', SAVING, self._save), ('map/reset', RESET, self._reset)):
                service = node.create_service(Trigger, name, partial(self._serve, sender, work))
                undo.callback(node.destroy_service, service)
            self._undo = undo.pop_all()
        self._worker: LatestWorker[_Job] = LatestWorker(self._run, lambda job: job.drop(), name='mapping worker')

    @property
    def description(self) -> str:
        """One line."""
        s = self.settings
        return f'{s.label_space} in {s.map_frame}, voxels of {s.voxel_size:g} m, {s.fusion}, poses by {s.pose_source}'

    def check(self, settings: MappingSettings) -> None:
        """All parameters are read on configure: there is nothing to check."""

    def apply(self, settings: MappingSettings) -> None:
        """Likewise."""

    def activate(self) -> None:
        """Subscribe."""
        with ExitStack() as undo:
            self._poses = open_poses(self._node, self.settings, self._fuse_waiting)
            undo.callback(self._poses.destroy)
            for topic, kind in TYPES.items():
                if topic != IMAGE or self.settings.use_image:
                    subscription = self._node.create_subscription(kind, topic, partial(self._take, topic), INPUT_QOS)
                    undo.callback(self._node.destroy_subscription, subscription)
            timer = self._node.create_timer(
                self.settings.publish_period, partial(self._worker.submit, PUBLICATION, _Job(self._publish, _nothing))
            )
            undo.callback(self._node.destroy_timer, timer)
            self._listening = undo.pop_all()

    def deactivate(self) -> None:
        """Unsubscribe; the map stays."""
        self._listening.close()
        self._sets.clear()
        self._waiting = None

    def release(self) -> None:
        """Leave the graph; the map goes when the worker has finished what it has in hand."""
        self._destroyed = True
        self._listening.close()
        self._undo.close()
        self._worker.end()

    def diagnostics(self) -> DiagnosticArray:
        """How the map is now."""
        with self._lock:
            dropped = Counter(self.dropped)
        return map_diagnostics(
            self._node.get_fully_qualified_name(),
            self._status,
            dropped + Counter({'incomplete': self._sets.incomplete}),
            self.last_reason,
            self._node.get_clock().now().nanoseconds,
        )

    # In the executor's thread

    def _take(self, topic: str, message: Any) -> None:
        needed = NEEDED
        if self.settings.use_image and self._node.count_publishers(self._node.resolve_topic_name(IMAGE)):
            needed = (*NEEDED, IMAGE)
        parts = self._sets.add(topic, stamp_of(message), message, needed)
        if parts is None:
            return
        if self._waiting is not None:
            self._fuse_waiting(is_last_chance=True)
        self._waiting = parts
        self._fuse_waiting()

    def _fuse_waiting(self, is_last_chance: bool = False) -> None:
        """Give the frame that waits for its pose to the worker, if the pose is known."""
        parts = self._waiting
        if parts is None:
            return
        stamp_ns = stamp_of(parts[DEPTH])
        pose, why = self._poses.find(parts[DEPTH].header.frame_id.lstrip('/'), stamp_ns)
        if not is_last_chance and self._poses.may_improve(stamp_ns, is_known=pose is not None):
            return
        self._waiting = None
        if pose is None:
            self.drop('no pose', why)
        else:
            self._worker.submit(FRAME, _Job(partial(self._fuse, parts, pose), self._drop_replaced))

    def _serve(
        self, sender: str, work: Callable[[], str], request: Trigger.Request, response: Trigger.Response
    ) -> Trigger.Response:
        """Let the worker do it, after the frame in hand, and wait for it."""
        done, answer = threading.Event(), [False, 'not finished in time, or requested again meanwhile']

        def job() -> None:
            try:
                answer[:] = True, work()
            except (MTPerceptionError, OSError) as error:
                answer[:] = False, str(error)
            finally:
                done.set()

        self._worker.submit(sender, _Job(job, done.set))
        done.wait(PATIENCE_S)
        response.success, response.message = answer
        return response

    def _drop_replaced(self) -> None:
        self.drop('busy', 'replaced by a newer frame')

    # In the worker's thread

    def _run(self, jobs: list['_Job']) -> None:
        for job in jobs:
            try:
                job.work()
            except Exception as error:  # noqa: BLE001 - one frame that fails must not end the worker
                self._node.get_logger().error(traceback.format_exc())
                self.drop('fault', f'{type(error).__name__}: {error}')
        self._status = MapStatus.of(self._mapper)

    def _fuse(self, parts: dict[str, Any], pose: np.ndarray) -> None:
        """Decode a frame and fuse it, or count why not."""
        try:
            self._mapper.fuse(_map_frame(parts, pose, self.settings.label_offset))
        except RefusedMessageError as error:
            self.drop('refused', str(error))
        except MTPerceptionError as error:
            self.drop('not fused', str(error))
        if self.settings.max_distance:
            self._mapper.volume.drop_farther_than(self.settings.max_distance, pose[:3, 3])

    def drop(self, reason: str, detail: str) -> None:
        """Count a frame that is not fused; the first of each reason is logged."""
        with self._lock:
            self.dropped[reason] += 1
            self.last_reason = f'{reason}: {detail}'
        if self.dropped[reason] == 1:
            self._node.get_logger().warning(f'frame dropped, {reason}: {detail}')

    def _publish(self) -> None:
        """The map to those who have not got it as it is now."""
        frames, has_mesh_subscribers = self._mapper.volume.frames, self._mesh.get_subscription_count() > 0
        is_mesh_due = has_mesh_subscribers and self._meshed_frames != frames
        if self._published_frames == frames and not is_mesh_due:
            return
        surface = self._mapper.volume.surface(self.settings.min_views)
        header = Header(frame_id=self.settings.map_frame, stamp=self._node.get_clock().now().to_msg())
        try:
            if self._published_frames != frames:
                self._publish_points(surface, header)
            if is_mesh_due:
                self._mesh.publish(map_marker(surface, self._space, header))
        except InvalidHandle:
            if not self._destroyed:
                raise
        self._published_frames = frames
        self._meshed_frames = frames if is_mesh_due else self._meshed_frames

    def _publish_points(self, surface: Surface, header: Header) -> None:
        self._points.publish(map_cloud(surface, self._ids, header))
        if self._updates.get_subscription_count():
            changed = self._mapper.volume.last_seen(surface.vertices) >= self._published_frames
            self._updates.publish(map_cloud(surface, self._ids, header, changed))

    def _save(self) -> str:
        volume, folder = self._mapper.volume, Path(self.settings.save_folder).expanduser().absolute()
        surface = volume.surface(self.settings.min_views)
        content = summary(self._mapper, surface, '', self._node.get_fully_qualified_name(), [])
        with atomic_folder(folder, ENTRIES) as part:
            write_map(volume, surface, self._space, part)
            write_json_atomically(part / SUMMARY, content)
        return f'{folder}: {len(surface.vertices)} vertices of {self._mapper.statistics.used} frames'

    def _reset(self) -> str:
        used = self._mapper.statistics.used
        self._mapper = self._new_mapper()
        self._published_frames = self._meshed_frames = -1  # so that the empty map is published
        self._publish()
        return f'discarded a map of {used} frames'

    def _new_mapper(self) -> Mapper:
        return Mapper(self._space, self.settings.options, history=HISTORY)

    def _publisher(self, undo: ExitStack, kind: type, topic: str) -> Any:
        publisher = self._node.create_lifecycle_publisher(kind, topic, LATCHED_QOS)
        undo.callback(self._node.destroy_lifecycle_publisher, publisher)
        return publisher


@dataclass(frozen=True)
class _Job:
    """For the worker."""

    work: Callable[[], None]
    drop: Callable[[], None]
    """Called if a newer one takes its place."""


def _nothing() -> None:
    pass


def _map_frame(parts: dict[str, Any], pose: np.ndarray, label_offset: int) -> MapFrame:
    depth, labels = image_to_depth(parts[DEPTH]), image_to_labels(parts[LABELS], label_offset)
    height, width = depth.shape
    image = parts.get(IMAGE)
    rgb = image and image_to_rgb(image)
    return MapFrame(
        pose,
        intrinsics_from(parts[INFO], width, height),
        depth,
        labels,
        _gray(parts[CONFIDENCE]),
        rgb if rgb is not None and rgb.shape[:2] == depth.shape else None,
    )


def _gray(message: Image) -> np.ndarray:
    """uint8 H,W of a mono8 image, all values as they are.

    Raises:
        RefusedImageError: if it is none.
    """
    image_to_labels(message, 0)  # checks encoding, size and bytes
    return np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)[:, : message.width]

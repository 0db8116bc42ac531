# SPDX-License-Identifier: Apache-2.0
"""What the mapping node has from configure to cleanup: the map, the topics, and the worker between them."""

import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from mtperception.atomic_write import atomic_folder, write_json_atomically
from mtperception.errors import MTPerceptionError
from mtperception.input_policy import resize_image
from mtperception.labels import load_label_space
from mtperception.mapping.export import ENTRIES, SUMMARY, write_map
from mtperception.mapping.frame import MapFrame
from mtperception.mapping.mapper import Mapper
from mtperception.mapping.parameters import MappingSettings
from mtperception.mapping.published_classes import other_classes
from mtperception.mapping.summary import summary
from mtperception.messages import (
    RefusedMessageError,
    compressed_to_rgb,
    image_to_bytes,
    image_to_depth,
    image_to_labels,
    image_to_rgb,
    intrinsics_from,
)
from mtperception.messages.outputs import CLASSES_TOPIC
from mtperception.ros.deferred_trigger import Answer, DeferredTrigger
from mtperception.ros.inputs import image_topic
from mtperception.ros.map_diagnostics import MapStatus, map_diagnostics
from mtperception.ros.map_frames import CONFIDENCE, DEPTH, IMAGE, INFO, LABELS, TYPES, MapFrames, Parts
from mtperception.ros.map_poses import open_poses
from mtperception.ros.map_publishers import MapPublishers
from mtperception.ros.node import ManagedNode
from mtperception.ros.publishers import LATCHED_QOS
from mtperception.ros.qos import subscribe
from mtperception.ros.worker import LatestWorker
from mtperception.types import same_aspect

INPUT_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
LOG_PERIOD_S = 10.0
"""Between tracebacks in the log."""
IDLE_S = 5.0
"""Without a fused frame, after which the node is waiting."""
HISTORY = 100
"""Frames whose figures are kept."""
FRAME, PUBLICATION = 'frame', 'publication'
"""Senders of the worker's jobs, beside the services; of each, the newest job counts."""
SAVE, RESET = SERVICES = ('map/save', 'map/reset')


class MappingComponent:
    """What does the work of the mapping node.

    Args:
        node: owns what it has on the graph.
        settings: the node's parameters.
        services: of the node, by name: SERVICES.

    Raises:
        MTPerceptionError, OSError: if the settings cannot be used.
    """

    def __init__(self, node: ManagedNode, settings: MappingSettings, services: Mapping[str, DeferredTrigger]) -> None:
        self.settings = settings
        self._node, self._name = node, node.get_fully_qualified_name()  # a node that is destroyed has no name any more
        self._space = load_label_space(settings.label_space)
        self._ids = self._space.id_table(settings.label_offset)
        self._mapper = self._new_mapper()
        self.dropped: Counter[str] = Counter()
        """Frames by reason."""
        self._dropped_before: Counter[str] = Counter()
        """Those of earlier maps."""
        self.last_reason = ''
        self._lock = threading.Lock()
        """Guards the counters, which two threads write."""
        self._status = MapStatus.of(self._mapper)
        self._reported = (0, 0)
        """Frames fused, and frames dropped that did not just come too soon, by the last report."""
        self._other_classes = ''
        """What is wrong with the classes of the labels; empty if nothing is known to be."""
        self._image_topic = image_topic(node, IMAGE, settings.image_transport)
        self._frames = MapFrames(
            self._has_images, self._is_of_other_classes, self._fuse_later, self.drop, node.get_logger()
        )
        self._listening = ExitStack()
        self._is_listening = False
        self._fused_at = time.monotonic()
        """Seconds: when the last report showed more fused frames than the one before."""
        with ExitStack() as undo:
            undo.callback(self._mapper.volume.close)
            self._outputs = MapPublishers(node, self._space, self._ids, settings.map_frame)
            undo.pop_all()
        self._services = services
        for name, work in ((SAVE, self._save), (RESET, self._reset)):
            services[name].serve(partial(self._ask_worker, name, work))
        self._worker: LatestWorker[_Job] = LatestWorker(
            self._run, lambda job: job.drop(), lambda: self._mapper.volume.close(), name='mapping worker'
        )

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
        self._outputs.begin_anew()
        with ExitStack() as undo:
            self._frames.poses = open_poses(self._node, self.settings, self._frames.fuse_waiting)
            undo.callback(self._frames.poses.destroy)
            if self.settings.use_image:  # first, as it is taken first then
                kind, topic = self._image_topic
                self._subscribe(undo, kind, topic, partial(self._frames.take, IMAGE), INPUT_QOS)
            for topic, kind in TYPES.items():
                self._subscribe(undo, kind, topic, partial(self._frames.take, topic), INPUT_QOS)
            self._subscribe(undo, String, CLASSES_TOPIC, self._compare_classes, LATCHED_QOS)
            timer = self._node.create_timer(
                self.settings.publish_period,
                partial(self._worker.submit, PUBLICATION, _Job(self._publish, _nothing)),
                clock=Clock(clock_type=ClockType.STEADY_TIME),  # simulated time may stand still
            )
            undo.callback(self._node.destroy_timer, timer)
            self._listening = undo.pop_all()
        self._is_listening = True

    def _subscribe(
        self, undo: ExitStack, kind: type, topic: str, callback: Callable[[Any], None], qos: QoSProfile
    ) -> None:
        subscription = subscribe(self._node, kind, topic, callback, qos, self._node.qos_warnings)
        undo.callback(self._node.destroy_subscription, subscription)

    def deactivate(self) -> None:
        """Unsubscribe; the map stays."""
        self._listening.close()
        self._is_listening = False
        self._frames.clear()
        self._other_classes = ''

    def release(self) -> None:
        """Leave the graph; the map goes when the worker has finished what it has in hand."""
        self._listening.close()
        for service in self._services.values():
            service.stop()
        self._outputs.destroy()
        self._worker.end()

    def diagnostics(self) -> DiagnosticArray:
        """How the map is now."""
        with self._lock:
            dropped = Counter(self.dropped)
        status, reported = self._status, self._reported
        self._reported = (status.used, dropped.total() - dropped['busy'])
        if self._reported[0] != reported[0]:
            self._fused_at = time.monotonic()
        return map_diagnostics(
            self._name,
            status,
            dropped,
            self.last_reason,
            is_listening=self._is_listening,
            is_fusing=status.used > 0 and time.monotonic() - self._fused_at < IDLE_S,
            is_stalled=self._reported[0] == reported[0] and self._reported[1] > reported[1],
            now_ns=self._node.get_clock().now().nanoseconds,
        )

    # In the executor's thread

    def _has_images(self) -> bool:
        return self.settings.use_image and self._node.count_publishers(self._image_topic[1]) > 0

    def _compare_classes(self, message: String) -> None:
        self._other_classes = other_classes(message.data, self._space, self._ids)

    def _is_of_other_classes(self) -> bool:
        """Whether a frame cannot be fused because of its classes; it is counted then."""
        if self._other_classes:
            self.drop('other classes', f'{CLASSES_TOPIC}: {self._other_classes}')
        return bool(self._other_classes)

    def _fuse_later(self, parts: Parts, pose: np.ndarray) -> None:
        self._worker.submit(FRAME, _Job(partial(self._fuse, parts, pose), self._drop_replaced))

    def _ask_worker(self, sender: str, work: Callable[[], str], answer: Answer) -> None:
        """Let the worker do it after the frame in hand, and answer when it is done."""

        def job() -> None:
            try:
                text = work()
            except (MTPerceptionError, OSError) as error:
                answer(False, str(error))
            except Exception as error:
                answer(False, f'{type(error).__name__}: {error}')
                raise
            else:
                answer(True, text)

        self._worker.submit(sender, _Job(job, _nothing))

    def _drop_replaced(self) -> None:
        self.drop('busy', 'replaced by a newer frame')

    # In the worker's thread

    def _run(self, jobs: list['_Job']) -> None:
        for job in jobs:
            try:
                job.work()
            except Exception:  # noqa: BLE001 - one job that fails must not end the worker
                self._node.get_logger().error(traceback.format_exc(), throttle_duration_sec=LOG_PERIOD_S)
        self._status = MapStatus.of(self._mapper)

    def _fuse(self, parts: Parts, pose: np.ndarray) -> None:
        """Decode a frame and fuse it, or count why not."""
        try:
            self._mapper.fuse(self._map_frame(parts, pose))
            if self.settings.max_distance:
                self._mapper.volume.drop_farther_than(self.settings.max_distance, pose[:3, 3])
        except RefusedMessageError as error:
            self.drop('refused', str(error))
        except MTPerceptionError as error:
            self.drop('not fused', str(error))
        except Exception as error:
            self.drop('fault', f'{type(error).__name__}: {error}')
            raise

    def _map_frame(self, parts: Parts, pose: np.ndarray) -> MapFrame:
        depth, labels = image_to_depth(parts[DEPTH]), image_to_labels(parts[LABELS], self.settings.label_offset)
        height, width = depth.shape
        camera, confidence = intrinsics_from(parts[INFO], width, height), image_to_bytes(parts[CONFIDENCE])
        return MapFrame(pose, camera, depth, labels, confidence, self._colors(parts.get(IMAGE), (width, height)))

    def _colors(self, image: Image | CompressedImage | None, size: tuple[int, int]) -> np.ndarray | None:
        """uint8 H,W,3, RGB, of (width, height); None without an image, or with one that is of no use for this."""
        if image is None:
            return None
        try:
            rgb = image_to_rgb(image) if isinstance(image, Image) else compressed_to_rgb(image)
        except RefusedMessageError as error:
            self._node.get_logger().warning(f'{IMAGE}: {error}: frames like this are fused without colour', once=True)
            return None
        found = (rgb.shape[1], rgb.shape[0])
        return resize_image(rgb, size) if same_aspect(found, size) else None

    def drop(self, reason: str, detail: str) -> None:
        """Count a frame that is not fused; the first of each reason is logged."""
        with self._lock:
            self.dropped[reason] += 1
            is_first = self.dropped[reason] == 1
            self.last_reason = f'{reason}: {detail}'
        if is_first:
            self._node.get_logger().warning(f'frame dropped, {reason}: {detail}')

    def _publish(self) -> None:
        self._outputs.publish(self._mapper.volume, self.settings.min_views)

    def _save(self) -> str:
        volume, folder = self._mapper.volume.whole(), self._save_folder
        surface = volume.surface(self.settings.min_views)
        with atomic_folder(folder, ENTRIES) as part:
            voxels = write_map(volume, surface, self._space, part)
            content = summary(self._mapper, voxels, surface, '', self._name, [])
            with self._lock:
                content['left_out']['frames'] = dict(self.dropped - self._dropped_before)
            write_json_atomically(part / SUMMARY, content)
        return f'{folder}: {len(surface.vertices)} vertices of {self._mapper.statistics.used} frames'

    @property
    def _save_folder(self) -> Path:
        """A relative one is below the node's namespace, since nodes of several cameras may have the same parameters."""
        return Path.cwd() / self._name.rpartition('/')[0].lstrip('/') / Path(self.settings.save_folder).expanduser()

    def _reset(self) -> str:
        used = self._mapper.statistics.used
        with self._lock:
            self._dropped_before = Counter(self.dropped)
        self._mapper.volume.close()
        self._mapper = self._new_mapper()
        self._outputs.begin_anew()
        self._publish()
        return f'discarded a map of {used} frames'

    def _new_mapper(self) -> Mapper:
        return Mapper(self._space, self.settings.options, history=HISTORY)


@dataclass(frozen=True)
class _Job:
    """For the worker."""

    work: Callable[[], None]
    drop: Callable[[], None]
    """Called if a newer one takes its place."""


def _nothing() -> None:
    pass

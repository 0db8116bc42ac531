# SPDX-License-Identifier: Apache-2.0
"""One camera of the node: its topics, and what is counted of its stream."""

from collections.abc import Iterable

from rclpy.lifecycle import LifecycleNode

from mtperception.mapping.scale import FloorScale
from mtperception.ros.inputs import Inputs, OnImage
from mtperception.ros.monitor import Monitor
from mtperception.ros.publishers import OutputPublishers
from mtperception.ros.qos import QosWarnings
from mtperception.ros.rate_limit import RateLimit
from mtperception.tasks import with_scaled_lengths
from mtperception.types import Intrinsics, Prediction

CAMERA_INFO_PATIENCE_S = 2.0


class Camera:
    """A camera of a configured node: its publishers and, while the node is active, its subscriptions.

    Args:
        node: owns them.
        name: in front of the topics; empty for the only camera.
        tasks: of the model.
        qos_warnings: told of peers that do not match.
    """

    def __init__(self, node: LifecycleNode, name: str, tasks: Iterable[str], qos_warnings: QosWarnings) -> None:
        self.name = name
        self.monitor = Monitor()
        self.publishers = OutputPublishers(node, name, tasks, qos_warnings)
        self._node = node
        self._qos_warnings = qos_warnings
        self._rate_limit = RateLimit()
        self._inputs: Inputs | None = None
        self._without_info_since: float | None = None
        self.floor_scale: FloorScale | None = None
        """Corrects depth by the height of the camera, where that is known."""

    def rescale(self, prediction: Prediction, intrinsics: Intrinsics | None) -> Prediction:
        """The prediction with the scale of its depth corrected, in the worker's thread.

        Args:
            prediction: of an image of this camera.
            intrinsics: of the image; None leaves depth as it is.
        """
        scale = self.floor_scale
        if scale is None or intrinsics is None or 'depth' not in prediction.computed:
            return prediction
        small = Prediction.of(prediction.computed, {})  # what the network saw says as much, and is not enlarged
        height, width = small.shape
        factor = scale.update(small.measured_depth, small.labels, intrinsics.resized(width, height))
        return prediction.with_maps(with_scaled_lengths(prediction.computed, factor))

    def listen(self, transport: str, on_image: OnImage) -> None:
        """Subscribe: 'raw' or 'compressed' images; each goes to `on_image`, in the executor's thread."""
        self._inputs = Inputs(self._node, self.name, transport, on_image, self._qos_warnings)

    @property
    def is_listening(self) -> bool:
        """Whether it is subscribed."""
        return self._inputs is not None

    def stop_listening(self) -> None:
        """Take the subscriptions off the graph, if there are any."""
        if self._inputs is not None:
            self._inputs.destroy()
            self._inputs = None

    def accept(self, stamp_ns: int, received: float, max_rate: float) -> bool:
        """Count an image that arrived; whether it is to be answered.

        Args:
            stamp_ns: when it was taken.
            received: monotonic seconds.
            max_rate: images per second that are answered at most; 0: all.
        """
        backwards_s = self.monitor.receive(stamp_ns)
        if backwards_s:
            self.remark('time', f'time runs backwards: a stamp {backwards_s:.3f} s before the last one')
        if not (self.publishers.has_subscribers() and self._rate_limit.passes(received, max_rate)):
            return False
        self.monitor.accept()
        return True

    def note_camera_info(self, is_there: bool, now: float) -> None:
        """Say once that no camera_info comes; at the start it may be late."""
        if is_there:
            self._without_info_since = None
            return
        if self._without_info_since is None:
            self._without_info_since = now
        if now - self._without_info_since > CAMERA_INFO_PATIENCE_S:
            self.remark(
                'no camera_info',
                'no camera_info: depth is not scaled to the camera, and points and */camera_info are not published; '
                'remap camera_info to its topic',
            )

    def refuse(self, kind: str, reason: str) -> None:
        """Count a message that cannot be used; report the first of its kind, then one now and then."""
        if self.monitor.refusals.add(kind, reason):
            self._warn(f'refused ({kind}): {reason}')

    def remark(self, kind: str, text: str) -> None:
        """Count something odd about a message that is used all the same; say it once."""
        if self.monitor.remarks.add(kind, text):
            self._warn(text)

    def destroy(self) -> None:
        """Take everything off the graph."""
        self.stop_listening()
        self.publishers.destroy()

    def _warn(self, text: str) -> None:
        self._node.get_logger().warning(f'{self.name}: {text}' if self.name else text)

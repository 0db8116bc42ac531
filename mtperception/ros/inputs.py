"""The node's subscriptions: the image, raw or compressed, and the camera that takes it."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from copy import copy
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mtperception.ros.frames import Frame
from mtperception.ros.qos import OVERRIDES, QosWarnings

INPUT_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Best effort matches every publisher; of the frames that wait, only the newest is of use."""


class Inputs:
    """Subscribes to `image` (or `image/compressed`) and `camera_info`.

    Args:
        node: owns the subscriptions.
        transport: 'raw' or 'compressed'.
        on_frame: called in the executor's thread with each image and the newest camera_info.
        qos_warnings: told of publishers that do not match.
    """

    def __init__(
        self, node: LifecycleNode, transport: str, on_frame: Callable[[Frame], None], qos_warnings: QosWarnings
    ) -> None:
        self._node = node
        self._qos_warnings = qos_warnings
        self._on_frame = on_frame
        self.camera_info: CameraInfo | None = None
        image = node.resolve_topic_name('image')
        # Remapping `image` does not remap `image/compressed`: it goes with the name that `image` resolves to.
        image_type, topic = (CompressedImage, f'{image}/compressed') if transport == 'compressed' else (Image, image)
        with ExitStack() as self._undo:
            self._create(CameraInfo, node.resolve_topic_name('camera_info'), self._on_camera_info)
            self._create(image_type, topic, self._on_image)
            self._undo = self._undo.pop_all()

    def destroy(self) -> None:
        """Take the subscriptions off the graph."""
        self._undo.close()

    def _on_camera_info(self, message: CameraInfo) -> None:
        self.camera_info = message

    def _on_image(self, message: Image | CompressedImage) -> None:
        self._on_frame(Frame(message, self.camera_info, time.monotonic()))

    def _create(self, message_type: type, topic: str, callback: Callable[[Any], None]) -> None:
        warn = self._qos_warnings.of(topic, 'subscription')
        subscription = self._node.create_subscription(
            message_type,
            topic,
            callback,
            copy(INPUT_QOS),  # overrides are written into it
            qos_overriding_options=OVERRIDES,
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=warn),
        )
        self._undo.callback(self._node.destroy_subscription, subscription)

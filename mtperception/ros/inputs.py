# SPDX-License-Identifier: Apache-2.0
"""The subscriptions for one camera: its image, raw or compressed, and its camera_info."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from mtperception.messages.outputs import camera_topic
from mtperception.ros.qos import QosWarnings, subscribe

OnImage = Callable[[Image | CompressedImage, CameraInfo | None], None]

INPUT_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""Best effort matches every publisher; of the frames that wait, only the newest is of use."""


def image_topic(node: LifecycleNode, name: str, transport: str) -> tuple[type[Image] | type[CompressedImage], str]:
    """Type and resolved name of what to subscribe to for an image topic by a transport, 'raw' or 'compressed'."""
    topic = node.resolve_topic_name(name)
    # Remapping `image` does not remap `image/compressed`: it goes with the name that `image` resolves to.
    return (CompressedImage, f'{topic}/compressed') if transport == 'compressed' else (Image, topic)


class Inputs:
    """Subscribes to `image` (or `image/compressed`) and `camera_info` of a camera.

    Args:
        node: owns the subscriptions.
        camera: its name, in front of the topics; empty: none.
        transport: 'raw' or 'compressed'.
        on_image: called in the executor's thread with each image and the newest camera_info.
        qos_warnings: told of publishers that do not match.
    """

    def __init__(
        self, node: LifecycleNode, camera: str, transport: str, on_image: OnImage, qos_warnings: QosWarnings
    ) -> None:
        self._node = node
        self._qos_warnings = qos_warnings
        self._on_image = on_image
        self._camera_info: CameraInfo | None = None
        image_type, topic = image_topic(node, camera_topic(camera, 'image'), transport)
        with ExitStack() as self._undo:
            camera_info = node.resolve_topic_name(camera_topic(camera, 'camera_info'))
            self._create(CameraInfo, camera_info, self._take_camera_info)
            self._create(image_type, topic, lambda message: self._on_image(message, self._camera_info))
            self._undo = self._undo.pop_all()

    def destroy(self) -> None:
        """Take the subscriptions off the graph."""
        self._undo.close()

    def _take_camera_info(self, message: CameraInfo) -> None:
        self._camera_info = message

    def _create(self, message_type: type, topic: str, callback: Callable[[Any], None]) -> None:
        subscription = subscribe(self._node, message_type, topic, callback, INPUT_QOS, self._qos_warnings)
        self._undo.callback(self._node.destroy_subscription, subscription)

# SPDX-License-Identifier: Apache-2.0
"""A node that plays serialised images to the perception node and collects what that answers."""

import time
from collections.abc import Collection

import numpy as np
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from mtperception.messages.image_encoding import jpeg_image, rgb8_image
from mtperception.messages.message import COMPRESSED_IMAGE, IMAGE
from mtperception.messages.outputs import Output
from mtperception.replay.live_answers import Answers
from mtperception.ros.conversions import MESSAGE_TYPES, ros_message

TOPICS = {IMAGE: 'image', COMPRESSED_IMAGE: 'image/compressed'}
"""Where the perception node takes images, by their type."""
TRANSPORTS = {IMAGE: 'raw', COMPRESSED_IMAGE: 'compressed'}
"""Its parameter `image_transport`."""
_ENCODERS = {IMAGE: rgb8_image, COMPRESSED_IMAGE: jpeg_image}
ANSWER_DEPTH = 50
"""Answers that may wait to be collected."""


class BagPlayer(Node):
    """Publishes images and camera_info as they are in a bag, byte by byte.

    Args:
        context: an initialised one.
        kind: type of the images.
        outputs: where they are answered.
        answers: what comes back is added to them.
    """

    def __init__(self, context: Context, kind: str, outputs: Collection[Output], answers: Answers) -> None:
        super().__init__('bag_player', context=context)
        self._kind = kind
        self._images = self.create_publisher(MESSAGE_TYPES[kind], TOPICS[kind], QoSProfile(depth=5))
        self._infos = self.create_publisher(CameraInfo, 'camera_info', QoSProfile(depth=5))
        self.arrived = dict.fromkeys((output.topic for output in outputs), 0)
        """Messages that came in, by topic."""
        self.published: dict[int, float] = {}
        """Monotonic seconds by the stamp of an image."""
        self._failure: OSError | None = None
        for output in outputs:
            self._collect(output, answers)

    def is_connected(self) -> bool:
        """Whether somebody subscribes to images and camera_info, and somebody publishes answers."""
        subscribers = min(self._images.get_subscription_count(), self._infos.get_subscription_count())
        return subscribers > 0 and all(self.count_publishers(topic) for topic in self.arrived)

    def try_out(self, image: np.ndarray) -> None:
        """Publish an image, uint8 H,W,3 RGB, with the stamp 0, which is not counted among the published ones."""
        self._images.publish(ros_message(_ENCODERS[self._kind](image), Header(frame_id='camera')))

    def publish_camera_info(self, data: bytes) -> None:
        """Publish a serialised CameraInfo."""
        self._infos.publish(bytes(data))

    def publish_image(self, data: bytes, stamp_ns: int) -> None:
        """Publish a serialised image."""
        serialised = bytes(data)
        self.published[stamp_ns] = time.monotonic()
        self._images.publish(serialised)

    def check(self) -> None:
        """Raise OSError if an answer could not be kept."""
        if self._failure is not None:
            raise self._failure

    def is_delivered(self) -> bool:
        """Whether all images have arrived, as far as they are not lost. Does not wait: rclpy holds the GIL then."""
        return self._images.wait_for_all_acked(Duration())

    def _collect(self, output: Output, answers: Answers) -> None:
        def take(data: bytes) -> None:
            try:
                answers.add(output.topic, data, time.monotonic())
            except OSError as error:  # in the executor's thread; `check` raises it where somebody listens
                self._failure = error
            self.arrived[output.topic] += 1

        self.create_subscription(
            MESSAGE_TYPES[output.kind], output.topic, take, QoSProfile(depth=ANSWER_DEPTH), raw=True
        )

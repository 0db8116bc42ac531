# SPDX-License-Identifier: Apache-2.0
"""The publishers for one camera: frames to whoever subscribes, and the latched description of the classes."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Header, String

from mtperception.messages.message import IMAGE
from mtperception.messages.outputs import CLASSES_TOPIC, FRAME_DEPTH, LATCHED_DEPTH, camera_topic, classes, outputs_for
from mtperception.messages.presentation import Presentation
from mtperception.messages.products import Products
from mtperception.ros import label_info, labelspace
from mtperception.ros.conversions import MESSAGE_TYPES, ros_message, serialized_image
from mtperception.ros.qos import QosWarnings, advertise

FRAME_QOS = QoSProfile(depth=FRAME_DEPTH, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(
    depth=LATCHED_DEPTH, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
)


class OutputPublishers:
    """Lifecycle publishers for the outputs of a model with these tasks.

    Their QoS can be overridden by parameters `qos_overrides.<topic>.publisher.*`.

    Args:
        node: owns the publishers.
        camera: its name, in front of the topics; empty: none.
        tasks: of the model.
        qos_warnings: told of subscribers that do not match.
    """

    def __init__(self, node: LifecycleNode, camera: str, tasks: Iterable[str], qos_warnings: QosWarnings) -> None:
        self._node = node
        self._camera = camera
        self._qos_warnings = qos_warnings
        self._said: tuple[str, float, tuple[str, ...]] | None = None
        self._classes = self._label_info = self._labelspace = None
        self._destroyed = False
        with ExitStack() as self._undo:
            self._outputs = [
                (output, self._create(MESSAGE_TYPES[output.kind], output.topic)) for output in outputs_for(tasks)
            ]
            if 'segmentation' in tasks:
                self._classes = self._create(String, CLASSES_TOPIC, LATCHED_QOS)
                if label_info.LabelInfo is not None:
                    self._label_info = self._create(label_info.LabelInfo, 'semantic/label_info', LATCHED_QOS)
                if labelspace.Labelspace is not None:
                    self._labelspace = self._create(labelspace.Labelspace, 'semantic/labelspace', LATCHED_QOS)
            self._undo = self._undo.pop_all()

    def has_subscribers(self) -> bool:
        """Whether anybody subscribes to a frame output."""
        with self._unless_destroyed():
            return any(publisher.get_subscription_count() for _, publisher in self._outputs)
        return False

    def publish(self, products: Products, header: Header) -> bool:
        """Publish what is subscribed to of a frame, with the header of its image; without a camera less.

        In the worker's thread: nothing is published once they are destroyed, which may happen meanwhile.

        Returns:
            Whether anything was published.
        """
        published = False
        with self._unless_destroyed():
            for output, publisher in self._outputs:
                if publisher.get_subscription_count() and (products.intrinsics or not output.needs_camera):
                    message = output.make(products)
                    make = serialized_image if message.kind == IMAGE else ros_message
                    publisher.publish(make(message, header))
                    published |= publisher.is_activated
        return published

    def publish_classes(self, presentation: Presentation) -> None:
        """Publish what the ids mean, for all who are there and all who come later.

        Nothing if it was said already, or while the node is not active.
        """
        message = classes(presentation)
        settings = presentation.settings
        said = message.fields['data'], settings.confidence_threshold, settings.mask_classes
        if self._classes is None or not self._classes.is_activated or said == self._said:
            return
        self._said = said
        self._classes.publish(ros_message(message))
        if self._label_info is not None:
            self._label_info.publish(label_info.label_info(presentation))
        if self._labelspace is not None:
            self._labelspace.publish(labelspace.labelspace(presentation))

    def destroy(self) -> None:
        """Take all of them off the graph."""
        self._destroyed = True
        self._undo.close()

    @contextmanager
    def _unless_destroyed(self) -> Iterator[None]:
        """What the worker does with the publishers ends here once they are destroyed."""
        try:
            yield
        except InvalidHandle:
            if not self._destroyed:
                raise

    def _create(self, message_type: type, name: str, qos: QoSProfile = FRAME_QOS) -> Any:
        publisher = advertise(self._node, message_type, camera_topic(self._camera, name), qos, self._qos_warnings)
        self._undo.callback(self._node.destroy_lifecycle_publisher, publisher)
        return publisher

# SPDX-License-Identifier: Apache-2.0
"""What the ids mean is published whenever it changes, and only then."""

from dataclasses import replace

import pytest
import rclpy
from rclpy.lifecycle import LifecycleNode
from std_msgs.msg import String

from mtperception.card import open_model
from mtperception.messages.outputs import CLASSES_TOPIC
from mtperception.messages.parameters import default_settings
from mtperception.messages.presentation import Presentation
from mtperception.ros.publishers import LATCHED_QOS, OutputPublishers
from mtperception.ros.qos import QosWarnings


@pytest.mark.parametrize('changes', [{'confidence_threshold': 0.5}, {'mask_classes': ('chair',)}])
def test_classes_are_said_again_when_what_follows_from_them_changes(changes):
    """`semantic/labelspace`, which goes with them, holds the classes that move, and label_info the threshold."""
    model, settings = open_model('nyuv2_indoor'), default_settings()

    def presentation(**changes):
        return Presentation.build(replace(settings, **changes), model.card, model.label_space)

    rclpy.init()
    node = LifecycleNode('publishers')
    try:
        publishers = OutputPublishers(node, '', model.card.tasks, QosWarnings(node.get_logger()))
        said = []
        node.create_subscription(String, CLASSES_TOPIC, said.append, LATCHED_QOS)
        node.trigger_configure()
        node.trigger_activate()

        def heard():
            for _ in range(20):
                rclpy.spin_once(node, timeout_sec=0.05)
            return len(said)

        publishers.publish_classes(presentation())
        assert heard() == 1
        publishers.publish_classes(presentation())
        assert heard() == 1
        publishers.publish_classes(presentation(**changes))
        assert heard() == 2
    finally:
        node.destroy_node()
        rclpy.shutdown()

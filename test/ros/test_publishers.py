# SPDX-License-Identifier: Apache-2.0
"""What the ids mean is published whenever it changes, and only then; nothing is once the node was cleaned up."""

from dataclasses import replace

import pytest
import rclpy
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from mtperception.card import open_model
from mtperception.messages.outputs import CLASSES_TOPIC
from mtperception.messages.parameters import default_settings
from mtperception.messages.presentation import Presentation
from mtperception.messages.products import Products
from mtperception.predictor import Predictor
from mtperception.ros.publishers import LATCHED_QOS, OutputPublishers
from mtperception.ros.qos import QosWarnings
from mtperception.synthetic import SyntheticRoom


@pytest.mark.parametrize('changes', [{'confidence_threshold': 0.5}, {'mask_classes': ('chair',)}])
def test_classes_are_said_again_when_what_follows_from_them_changes(node, changes):
    """`semantic/labelspace`, which goes with them, holds the classes that move, and label_info the threshold."""
    model, settings = open_model('nyuv2_indoor'), default_settings()

    def presentation(**changes):
        return Presentation.build(replace(settings, **changes), model.card, model.label_space)

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


def test_a_frame_in_hand_when_the_publishers_go_is_for_nobody(node):
    model = open_model('nyuv2_indoor')
    publishers = OutputPublishers(node, '', model.card.tasks, QosWarnings(node.get_logger()))
    image = SyntheticRoom(32, 24).frame(0.0).image
    prediction = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')(image)
    presentation = Presentation.build(default_settings(), model.card, model.label_space)
    node.create_subscription(Image, 'semantic/image', lambda message: None, 1)
    publishers.destroy()
    assert not publishers.has_subscribers()
    assert not publishers.publish(Products(image, prediction, None, presentation), Header())

# SPDX-License-Identifier: Apache-2.0
"""What is recorded without ROS is, field by field, what the node publishes."""

import numpy as np
import pytest

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from bags import STORE
from rclpy.serialization import serialize_message
from std_msgs.msg import Header

from mtperception.card import open_model
from mtperception.messages.outputs import OUTPUTS, classes
from mtperception.messages.parameters import default_settings
from mtperception.messages.presentation import Presentation
from mtperception.messages.products import Products
from mtperception.replay.out_bag import bag_message
from mtperception.ros.conversions import ros_message
from mtperception.types import Intrinsics, Prediction

RNG = np.random.default_rng(0)
SIZE = 24, 32
CAMERA = Intrinsics(30.0, 31.0, 15.5, 11.5, SIZE[1], SIZE[0])
MODEL = open_model('nyuv2_indoor')


@pytest.fixture(scope='module')
def products():
    prediction = Prediction(
        labels=RNG.integers(0, 40, SIZE, np.uint8),
        confidence=RNG.integers(0, 256, SIZE, np.uint8),
        depth=RNG.uniform(0, 12, SIZE).astype(np.float32),  # some of it invalid
        normals=RNG.normal(size=(*SIZE, 3)).astype(np.float32),
        depth_confidence=RNG.integers(0, 256, SIZE, np.uint8),
    )
    presentation = Presentation.build(default_settings(), MODEL.card, MODEL.label_space)
    return Products(RNG.integers(0, 256, (*SIZE, 3), np.uint8), prediction, CAMERA, presentation)


def assert_same(recorded, published, kind):
    """Compare serialised messages. Between fields, rclpy leaves in the padding what was in memory: it is zeroed."""
    assert bytes(STORE.serialize_cdr(STORE.deserialize_cdr(published, kind), kind)) == bytes(recorded)


@pytest.mark.parametrize('output', OUTPUTS, ids=lambda output: output.topic)
def test_every_output(products, output):
    header = Header(frame_id='camera_optical')
    header.stamp.sec, header.stamp.nanosec = 1_700_000_000, 123_456_789
    message = output.make(products)
    recorded = STORE.serialize_cdr(bag_message(STORE, message, header), message.kind)
    assert_same(recorded, serialize_message(ros_message(message, header)), message.kind)


def test_the_classes(products):
    message = classes(products.presentation)
    recorded = STORE.serialize_cdr(bag_message(STORE, message), message.kind)
    assert_same(recorded, serialize_message(ros_message(message)), message.kind)

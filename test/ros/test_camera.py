# SPDX-License-Identifier: Apache-2.0
"""A camera's images before they reach the worker: which are taken, and what is remarked, by a clock that tests set."""

import pytest
import rclpy
from rclpy.lifecycle import LifecycleNode

from mtperception.ros.camera import Camera
from mtperception.ros.monitor import Monitor
from mtperception.ros.qos import QosWarnings


@pytest.fixture
def camera():
    """One whose outputs somebody wants."""
    rclpy.init()
    node = LifecycleNode('rig')
    camera = Camera(node, '', ('segmentation', 'depth'), QosWarnings(node.get_logger()))
    camera.publishers.has_subscribers = lambda: True
    yield camera
    node.destroy_node()
    rclpy.shutdown()


def test_images_that_are_taken_and_never_answered_are_a_stall(camera):
    now = 100.0
    camera.monitor = Monitor(lambda: now)
    for _ in range(15):
        assert camera.accept(int(now * 1e9), now, 0)
        now += 0.1
    assert camera.monitor.stalled()


def test_an_image_that_nobody_wants_does_not_use_the_rate_up(camera):
    camera.publishers.has_subscribers = lambda: False
    assert not camera.accept(0, 1.0, 0.1)
    camera.publishers.has_subscribers = lambda: True
    assert camera.accept(1, 1.1, 0.1)


def test_a_missing_camera_info_is_remarked_after_a_while(camera):
    for seconds, is_there in ((10.0, False), (11.9, False), (12.0, True), (12.5, False), (14.4, False)):
        camera.note_camera_info(is_there, seconds)
        assert not camera.monitor.remarks.counts
    camera.note_camera_info(False, 14.6)
    assert camera.monitor.remarks.counts == {'no camera_info': 1}

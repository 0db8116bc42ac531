# SPDX-License-Identifier: Apache-2.0
"""The mapping node over DDS: what it cannot fuse is counted and said, and it goes on."""

import json
import subprocess
import sys

import pytest

pytest.importorskip('mtperception.mapping.volume', reason='needs Open3D', exc_type=ImportError)
pytest.importorskip('nav_msgs.msg')
pytest.importorskip('visualization_msgs.msg')

import numpy as np
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from mapping_robot import LATCHED, TOPICS, header_of, mapping
from nav_msgs.msg import Odometry
from std_msgs.msg import String

from mtperception.labels import load_label_space
from mtperception.mapping.stamped_sets import WAITING
from mtperception.ros.conversions import rgb8_image


def test_what_cannot_be_fused_is_counted_with_its_reason(tmp_path):
    with mapping(tmp_path) as (_, robot):
        robot.show(1, 0.0, pose=None)
        robot.show(2, 0.0)  # a newer frame: the first one gets no pose any more
        robot.spin_until(lambda: robot.value('dropped no pose') == 1, 'a frame without a pose')
        assert 'no pose within 0.05 s' in robot.values()['last reason']
        wrong = rgb8_image(np.zeros((240, 320, 3), np.uint8), header_of(3))
        robot.show(3, 0.0, **{'semantic/image': wrong})
        robot.spin_until(lambda: robot.value('dropped refused') == 1, 'a frame that is refused')
        assert "found 'rgb8', expected mono8" in robot.values()['last reason']
        robot.walk([1.0, 1.1])  # and the next good ones are fused


def why_without_pose(robot):
    """Shows frames, of which one at least arrives whole, and waits until it is left out."""
    for number in range(3):
        robot.show(number, 0.0)
        robot.spin_for(0.1)
    robot.spin_until(lambda: robot.value('dropped no pose'), 'a frame that is left out')
    return robot.values()['last reason']


def test_poses_in_another_frame_than_the_map_are_refused(tmp_path):
    """Odometry drifts in a frame of its own: a map of it, published as `map`, would be somewhere else."""
    with mapping(tmp_path) as (_, robot):
        robot.pose_frame = 'odom'
        assert 'poses are in odom, map_frame is map: expected the same' in why_without_pose(robot)
        assert robot.value('frames fused') == 0
        robot.pose_frame = '/map'  # as ROS 1 wrote it
        robot.walk([1.0, 1.1])
        change = f'{robot.name}/change_state'
        robot.client(ChangeState, change)
        deactivate = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_DEACTIVATE))
        assert robot.request(ChangeState, change, deactivate).success
        robot.spin_until(lambda: robot.values()['message'] == 'inactive', 'the node to say so')


def test_odometry_that_does_not_say_of_what_is_refused(tmp_path):
    with mapping(tmp_path, 'odometry', Odometry, use_image=False) as (_, robot):
        robot.body = ''
        assert 'odometry without child_frame_id' in why_without_pose(robot)
        robot.body = 'camera_optical'
        robot.walk([1.0, 1.1])


def test_frames_that_never_become_whole_are_said(tmp_path):
    """Without a usable camera_info the perception node publishes no camera of its depth."""
    with mapping(tmp_path, use_image=False) as (_, robot):
        for number in range(70):
            robot.show(number, 0.0, image=None, **{'depth/camera_info': None})
            robot.spin_for(0.02)
        expected = 'nothing fused: incomplete: found depth/image, semantic/image, semantic/confidence, and no d'
        robot.spin_until(lambda: expected in robot.values().get('message', ''), 'a warning')
        robot.walk([0.0])
        robot.spin_until(lambda: robot.values()['message'] == 'mapping', 'the end of it')


def test_labels_of_other_classes_are_not_fused(tmp_path):
    """`semantic/classes` says what labels are of; the map is of nyuv2_40."""
    with mapping(tmp_path, use_image=False) as (_, robot):
        publisher = robot.node.create_publisher(String, 'semantic/classes', LATCHED)
        publisher.publish(String(data='[{"id": 1, "name": "sky"}]'))
        robot.spin_until(lambda: publisher.get_subscription_count(), 'the subscription')
        robot.spin_for(0.5)
        for number in range(5):
            robot.show(number, 0.0)
            robot.spin_for(0.1)
        robot.spin_until(lambda: robot.value('dropped other classes'), 'frames that are left out')
        robot.spin_until(lambda: 'id 1 is sky, expected wall of nyuv2_40' in robot.values()['message'], 'a warning')
        space = load_label_space('nyuv2_40')
        entries = [{'id': index + 1, 'name': name} for index, name in enumerate(space.names)]
        publisher.publish(String(data=json.dumps(entries)))
        robot.walk([0.0])


def test_classes_that_change_while_a_frame_waits_for_its_pose(tmp_path):
    with mapping(tmp_path, use_image=False) as (_, robot):
        publisher = robot.node.create_publisher(String, 'semantic/classes', LATCHED)
        robot.spin_until(lambda: publisher.get_subscription_count(), 'the subscription')
        for number in range(3):  # best effort may lose a part
            robot.show(number, 0.0, pose=None)
            robot.spin_for(0.1)
        publisher.publish(String(data='[{"id": 1, "name": "sky"}]'))
        robot.spin_for(0.5)
        for number in range(3):
            robot.tell_pose(number, 0.0)
        robot.spin_until(lambda: robot.value('dropped other classes'), 'a frame that is left out')
        assert robot.value('frames fused') == 0


def test_a_frame_whose_image_came_too_long_before_it_is_fused_without(tmp_path):
    """A camera of 60 Hz before a network that takes longer than a second."""
    with mapping(tmp_path) as (_, robot):
        rest = dict.fromkeys((*TOPICS, 'pose'))
        del rest['image']
        for number in range(WAITING + 10):
            robot.show(number, 0.0, **rest)
            robot.spin_for(0.01)
        for number in range(3):
            robot.show(number, 0.0, image=None)
            robot.spin_for(0.1)
        robot.spin_until(lambda: robot.value('frames fused'), 'a frame')
        assert robot.value('dropped incomplete') == 0


def test_a_frame_whose_image_is_lost_or_unreadable_is_fused_without(tmp_path):
    with mapping(tmp_path) as (_, robot):
        for number in range(3):  # no image comes, though there is somebody who publishes them
            robot.show(number, 0.0, image=None)
            robot.spin_for(0.1)
        robot.spin_until(lambda: robot.value('frames fused'), 'a frame without image')
        robot.walk([0.5])
        before = robot.value('frames fused')
        strange = rgb8_image(np.zeros((240, 320, 3), np.uint8), header_of(4))
        strange.encoding = 'strange'
        robot.spin_for(1.0)
        for number in range(4, 7):
            strange.header = header_of(number)
            robot.show(number, 0.0, image=strange)
            robot.spin_for(0.1)
        robot.spin_until(lambda: robot.value('frames fused') > before, 'a frame whose image cannot be read')
        assert (robot.value('dropped incomplete'), robot.value('dropped refused')) == (0, 0)


def test_images_that_are_advertised_and_never_come_delay_nothing(tmp_path):
    with mapping(tmp_path) as (_, robot):
        for number in range(4):
            robot.show(number, 0.0, image=None)
            robot.spin_for(0.1)
        robot.spin_until(lambda: robot.value('frames fused'), 'a frame')
        robot.walk([1.0, 1.1], image=lambda header: None)


def test_qos_can_be_overridden(tmp_path):
    policies = [
        ('depth/image.subscription.reliability', 'reliable'),
        ('pose.subscription.reliability', 'reliable'),
        ('map/points.publisher.durability', 'volatile'),
    ]
    with mapping(tmp_path, qos=policies) as (_, robot):
        namespace = robot.name.rpartition('/')[0]
        for topic, expected in (('depth/image', 'RELIABLE'), ('pose', 'RELIABLE'), ('semantic/image', 'BEST_EFFORT')):
            (found,) = robot.node.get_subscriptions_info_by_topic(f'{namespace}/{topic}')
            assert found.qos_profile.reliability.name == expected
        (found,) = robot.node.get_publishers_info_by_topic(f'{namespace}/map/points')
        assert found.qos_profile.durability.name == 'VOLATILE'
        robot.walk([0.0])


@pytest.mark.parametrize('missing', ['open3d', 'scipy'])
def test_a_missing_package_is_one_line(missing):
    run = 'from mtperception.ros.mapping_node import main; sys.exit(main([]))'
    command = [sys.executable, '-c', f'import sys; sys.modules[{missing!r}] = None; {run}']
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert 'pip install "mtperception[mapping]"' in line

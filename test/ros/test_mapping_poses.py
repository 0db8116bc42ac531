# SPDX-License-Identifier: Apache-2.0
"""The mapping node over DDS: poses by message, odometry and tf, in time and late."""

import pytest

pytest.importorskip('mtperception.mapping.volume', reason='needs Open3D', exc_type=ImportError)
pytest.importorskip('nav_msgs.msg')
pytest.importorskip('visualization_msgs.msg')

from mapping_robot import LATCHED, is_the_room, mapping
from nav_msgs.msg import Odometry
from sensor_msgs.msg import PointCloud2


def test_odometry_of_the_camera(tmp_path):
    with mapping(tmp_path, 'odometry', Odometry, min_views=1, use_image=False) as (_, robot):
        clouds = robot.collect(PointCloud2, 'map/points', LATCHED)
        robot.walk([0.0])
        robot.spin_until(lambda: clouds and clouds[-1].width, 'the map')
        assert is_the_room(clouds[-1])


def test_odometry_of_the_body_and_a_camera_on_it(tmp_path):
    """With tf_static between them, which is listened to only once it is needed: no frame is lost for that."""
    pytest.importorskip('tf2_ros', reason='needs tf2_ros, which comes with ROS', exc_type=ImportError)
    with mapping(tmp_path, 'odometry', Odometry, min_views=1, use_image=False) as (_, robot):
        robot.mount_camera()
        clouds = robot.collect(PointCloud2, 'map/points', LATCHED)
        robot.walk([0.0])
        robot.spin_until(lambda: clouds and clouds[-1].width, 'the map')
        assert is_the_room(clouds[-1])
        assert robot.value('dropped no pose') == 0


def assert_late_poses_suffice(robot):
    """Shows two frames, and only then says where the camera was: both are fused, and the map is the room."""
    clouds = robot.collect(PointCloud2, 'map/points', LATCHED)
    for number in range(10, 60, 10):  # best effort may lose a part of a frame
        for later, seconds in enumerate((0.0, 0.1)):
            robot.show(number + later, seconds, pose=None)
            robot.spin_for(0.5)
        before = robot.value('frames fused')
        for later, seconds in enumerate((0.0, 0.1)):
            robot.tell_pose(number + later, seconds)
            robot.spin_for(2)  # else the second one takes the place of the first at the worker
        if robot.value('frames fused') == before + 2:
            robot.spin_until(lambda: clouds and clouds[-1].width, 'the map')
            assert is_the_room(clouds[-1])
            return
    raise AssertionError(robot.values())


def test_poses_that_come_after_the_next_frame(tmp_path):
    """A frame waits for its own, though a newer one comes."""
    with mapping(tmp_path, min_views=1, use_image=False) as (_, robot):
        assert_late_poses_suffice(robot)


def test_transforms_that_come_after_the_next_frame(tmp_path):
    """map -> base_link on /tf, base_link -> camera on /tf_static."""
    tf2_msgs = pytest.importorskip('tf2_msgs.msg', reason='needs tf2_msgs', exc_type=ImportError)
    pytest.importorskip('tf2_ros', reason='needs tf2_ros, which comes with ROS', exc_type=ImportError)
    with mapping(tmp_path, 'tf', tf2_msgs.TFMessage, min_views=1, use_image=False) as (_, robot):
        robot.mount_camera()
        assert_late_poses_suffice(robot)


def test_transforms_after_the_clock_was_set_back(tmp_path):
    """As when a bag is played again: tf itself refuses what is older than its memory of 10 s."""
    tf2_msgs = pytest.importorskip('tf2_msgs.msg', reason='needs tf2_msgs', exc_type=ImportError)
    pytest.importorskip('tf2_ros', reason='needs tf2_ros, which comes with ROS', exc_type=ImportError)
    with mapping(tmp_path, 'tf', tf2_msgs.TFMessage, use_image=False) as (_, robot):
        robot.mount_camera()

        def show_until_fused(numbers):
            robot.spin_for(2.5)  # until the diagnostics are of all frames before
            before = robot.value('frames fused')
            for number in numbers:
                robot.show(number, 0.0)
                robot.spin_for(0.5)
            robot.spin_until(lambda: robot.value('frames fused') > before, f'a frame of {numbers}')

        show_until_fused(range(100, 105))
        show_until_fused(range(10))


def test_what_tf_does_not_connect_is_said(tmp_path):
    tf2_msgs = pytest.importorskip('tf2_msgs.msg', reason='needs tf2_msgs', exc_type=ImportError)
    pytest.importorskip('tf2_ros', reason='needs tf2_ros, which comes with ROS', exc_type=ImportError)
    with mapping(tmp_path, 'tf', tf2_msgs.TFMessage) as (_, robot):
        for number in (1, 3, 5, 7):
            robot.show(number, 0.0)  # base_link moves in map, and nothing says where the camera is
        robot.spin_until(lambda: robot.value('dropped no pose'), 'a frame without a pose')
        assert 'tf: ' in robot.values()['last reason']
        assert 'camera_optical' in robot.values()['last reason']

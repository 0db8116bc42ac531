# SPDX-License-Identifier: Apache-2.0
"""The mapping node over DDS: what it publishes and saves is the room whose depth, labels and poses it was given."""

import gc
import json
from contextlib import closing

import cv2
import numpy as np
import pytest

pytest.importorskip('mtperception.mapping.volume', reason='needs Open3D', exc_type=ImportError)
pytest.importorskip('nav_msgs.msg')
pytest.importorskip('visualization_msgs.msg')

import yaml
from graph import RELIABLE, NodeProcess, Observer
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from mapped_rooms import TIMES, rightness
from mapping_robot import FOLLOWING, LATCHED, VOXEL, Follower, Robot, follows, mapping, points_of, xyz
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, PointCloud2
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from mtperception import resources
from mtperception.mapping.parameters import PARAMETERS
from mtperception.mapping.volume import SemanticVolume
from mtperception.ros.conversions import rgb8_image
from mtperception.ros.map_messages import UPDATE
from mtperception.ros.mapping_node import mapping_node
from mtperception.ros.process import ros_process, spinning


def test_the_map_is_the_room(tmp_path):
    folder = tmp_path / 'saved'
    with mapping(tmp_path, save_folder=str(folder), publish_period=1.0) as (_, robot):
        clouds = robot.collect(PointCloud2, 'map/points', LATCHED)
        updates = robot.collect(PointCloud2, 'map/updates', LATCHED)
        meshes = robot.collect(Marker, 'map/mesh', LATCHED)
        robot.walk(TIMES)
        robot.spin_until(lambda: clouds and meshes and updates, 'the map')
        robot.spin_for(3)
        points = points_of(clouds[-1])
        right, error, count = rightness(xyz(points), points['label'] - 1, VOXEL)
        assert clouds[-1].header.frame_id == 'map'
        assert count > 5000
        assert right >= 0.995
        assert error < VOXEL / 2
        assert ((points['confidence'] >= 0) & (points['confidence'] <= 1)).all()
        assert len(np.frombuffer(updates[-1].data, UPDATE)) < 0.8 * len(points)
        mesh = meshes[-1]
        assert (mesh.type, len(mesh.points) % 3) == (Marker.TRIANGLE_LIST, 0)
        assert len(mesh.points) == len(mesh.colors) > len(points)
        values = robot.values()
        assert values['frames dropped'] == '0' or set(values) & {'dropped incomplete', 'dropped busy'}
        assert float(values['memory [MB]']) > 1
        assert float(values['fusion p50 [ms]']) > 0

        dropped = robot.value('frames dropped')
        answer = robot.ask('map/save')
        assert answer.success, answer.message
        assert f'of {robot.value("frames fused")} frames' in answer.message
        left_out = json.loads((folder / 'summary.json').read_text())['left_out']['frames']
        assert sum(left_out.values()) >= dropped
        assert json.loads((folder / 'summary.json').read_text())['frames'] >= len(TIMES)
        assert len(np.load(folder / 'map.npz')['centers']) > 10_000
        late = Robot(robot.node.get_namespace())
        with closing(late):  # who comes later gets the map, too
            got = late.collect(PointCloud2, 'map/points', LATCHED)

            def has_the_same():
                late.spin_for(0.1)
                return got and got[-1].width == clouds[-1].width

            robot.spin_until(has_the_same, 'the latched map')

        answer = robot.ask('map/reset')
        assert answer.success, answer.message
        robot.spin_until(lambda: clouds[-1].width == 0, 'an empty map')
        robot.spin_until(lambda: robot.value('frames fused') == 0, 'diagnostics of the empty map')


@pytest.mark.parametrize('size', [(640, 480), (160, 120)])
def test_an_image_of_another_size_than_depth(size, tmp_path):
    """A perception node with `output_size: network` publishes smaller maps than its camera's images."""
    picture = np.full((size[1], size[0], 3), (200, 40, 90), np.uint8)
    with mapping(tmp_path, min_views=1) as (_, robot):
        clouds = robot.collect(PointCloud2, 'map/points', LATCHED)
        robot.walk([0.0], image=lambda header: rgb8_image(picture, header))
        robot.spin_until(lambda: clouds and clouds[-1].width, 'the map')
        colors = points_of(clouds[-1])['rgb']
        assert len(colors) > 1000
        assert np.unique(colors).tolist() == [0xC8285A]


def test_compressed_images(tmp_path):
    picture = np.full((240, 320, 3), (200, 40, 90), np.uint8)
    with mapping(tmp_path, min_views=1, image_transport='compressed') as (_, robot):
        data = cv2.imencode('.png', picture[..., ::-1])[1].tobytes()
        images = robot.node.create_publisher(CompressedImage, 'image/compressed', RELIABLE)
        robot.spin_until(images.get_subscription_count, 'the subscription')

        def send(header):
            images.publish(CompressedImage(header=header, format='png', data=data))

        clouds = robot.collect(PointCloud2, 'map/points', LATCHED)
        robot.walk([0.0], image=send)
        robot.spin_until(lambda: clouds and clouds[-1].width, 'the map')
        assert np.unique(points_of(clouds[-1])['rgb']).tolist() == [0xC8285A]


def test_who_comes_late_has_the_map_that_nobody_asked_for_before(tmp_path):
    """Computed for nobody, the map would take the time of the frames: it is computed when somebody comes."""
    with mapping(tmp_path, min_views=1, use_image=False) as (_, robot):
        robot.walk([0.0, 1.0])
        robot.spin_for(1)
        came = robot.node.get_clock().now()
        clouds = robot.collect(PointCloud2, 'map/points', LATCHED)
        robot.spin_until(lambda: clouds and clouds[-1].width > 1000, 'the map')
        robot.spin_for(1)
        assert Time.from_msg(clouds[-1].header.stamp) > came


def test_who_follows_the_updates_has_the_map(tmp_path):
    """From the start or later, over blocks that go, a reset, and a node that was not active."""
    options = {'min_views': 1, 'max_distance': 3.0, 'use_image': False}
    with mapping(tmp_path, **options) as (_, robot), closing(Observer('late', robot.node.get_namespace())) as late:
        first, second = Follower(), Follower()
        robot.follow(first)
        clouds = robot.collect(PointCloud2, 'map/points', LATCHED)

        def agree(*followers, on=lambda: True):
            def is_agreed():
                late.spin_for(0.05)
                return clouds and all(follows(follower, clouds[-1]) for follower in followers) and on()

            robot.spin_until(is_agreed, 'agreement')

        robot.walk(TIMES[:2])
        agree(first, on=lambda: len(first.blocks) > 20)
        seen = set(first.blocks)
        late.node.create_subscription(PointCloud2, 'map/updates', second.take, FOLLOWING)
        agree(first, second)
        assert first.blocks.keys() == second.blocks.keys()
        robot.walk(TIMES[7:9])
        agree(first, second, on=lambda: seen - set(first.blocks))  # blocks that are far now
        robot.ask('map/reset')
        robot.spin_until(lambda: robot.value('frames fused') == 0, 'diagnostics of the empty map')
        agree(first, second, on=lambda: not first.blocks)
        robot.walk(TIMES[10:11])
        agree(first, second, on=lambda: first.blocks)


def test_the_node_goes_on_while_a_map_is_saved(tmp_path):
    """A map of small voxels takes seconds to save."""
    options = {'voxel_size': 0.02, 'min_views': 1, 'use_image': False, 'publish_period': 3600.0}
    with mapping(tmp_path, save_folder=str(tmp_path / 'saved'), **options) as (_, robot):
        robot.walk(TIMES[:3])
        client = robot.service('map/save')
        first, second = client.call_async(Trigger.Request()), client.call_async(Trigger.Request())
        robot.spin_until(second.done, 'a refusal')
        assert not first.done()
        assert not second.result().success
        assert 'an earlier map/save is still running' in second.result().message
        assert robot.state_of(robot.name) == 'active'
        assert not first.done()
        robot.show(1000, TIMES[3])  # waits for the worker, and is fused after the map was saved
        robot.spin_until(first.done, 'the map to be saved')
        assert first.result().success, first.result().message
        assert first.result().message.endswith('of 3 frames')
        robot.spin_until(lambda: robot.value('frames fused') == 4, 'the frame that came meanwhile')


def test_a_node_that_is_cleaned_up_meanwhile_answers_first(tmp_path):
    """And finishes the save, with what was archived; then a new map has the services and the archive to itself."""
    saved = tmp_path / 'saved'
    folders = {'archive_folder': str(tmp_path / 'archive'), 'save_folder': str(saved)}
    options = {'voxel_size': 0.02, 'min_views': 1, 'use_image': False, 'publish_period': 3600.0, 'max_distance': 2.5}
    with mapping(tmp_path, **folders, **options) as (node, robot):
        robot.walk(TIMES[:8:2])
        robot.spin_until(lambda: robot.value('archived blocks') > 100, 'archived blocks')
        change = f'{robot.name}/change_state'
        robot.client(ChangeState, change)
        client = robot.service('map/save')

        def move_on(*transitions):
            for transition in transitions:
                request = ChangeState.Request(transition=Transition(id=transition))
                assert robot.request(ChangeState, change, request, again_s=60).success

        answer = client.call_async(Trigger.Request())
        move_on(Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)
        robot.spin_until(answer.done, 'an answer')
        assert answer.result().success or 'cleaned up before this was finished' in answer.result().message
        assert robot.state_of(robot.name) == 'unconfigured'
        refusal = robot.ask('map/save')
        assert (refusal.success, refusal.message) == (False, 'the node is not configured: ask again once it is')
        robot.spin_until(lambda: (saved / 'summary.json').exists(), 'the map to be saved, which keeps the archive')
        move_on(Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
        answer = robot.ask('map/reset')
        assert (answer.success, answer.message) == (True, 'discarded a map of 0 frames')
        assert json.loads((saved / 'summary.json').read_text())['frames'] == 4
        assert 'Traceback' not in node.log


def test_a_discarded_map_is_freed():
    """Else a node would need its memory twice."""
    arguments = ['--ros-args', '-r', '__ns:=/freed', '-p', 'pose_source:=pose_stamped']

    def maps():
        gc.collect()
        return sum(isinstance(each, SemanticVolume) for each in gc.get_objects())

    before = maps()
    with ros_process(arguments) as stop, closing(Robot('/freed')) as robot, spinning(mapping_node(), stop):
        robot.spin_until(lambda: robot.state_of(robot.name) == 'active', 'the node to be active')
        assert maps() == before + 1
        assert robot.ask('map/reset').success
        assert maps() == before + 1


def test_frames_that_an_earlier_map_left_out_are_not_those_of_this_one(tmp_path):
    folder = tmp_path / 'saved'
    with mapping(tmp_path, save_folder=str(folder), min_views=1, use_image=False) as (_, robot):
        robot.show(1, 0.0, **{'semantic/image': None})
        robot.walk([0.0])
        robot.spin_until(lambda: robot.value('dropped incomplete') > 0, 'a frame that was left out')
        assert robot.ask('map/reset').success
        robot.spin_until(lambda: robot.value('frames fused') == 0, 'diagnostics of the empty map')
        before = robot.value('dropped incomplete')
        robot.walk([1.0])
        assert robot.ask('map/save').success
        of_this_map = json.loads((folder / 'summary.json').read_text())['left_out']['frames'].get('incomplete', 0)
        robot.spin_for(1.5)
        assert of_this_map <= robot.value('dropped incomplete') - before


def test_a_saved_map_has_what_was_archived(tmp_path):
    archive, saved = tmp_path / 'archive', tmp_path / 'saved'
    folders = {'archive_folder': str(archive), 'save_folder': str(saved)}
    with mapping(tmp_path, max_distance=2.5, min_views=1, use_image=False, **folders) as (_, robot):
        clouds = robot.collect(PointCloud2, 'map/points', LATCHED)
        robot.walk(TIMES[:8:2])
        robot.spin_until(lambda: robot.value('archived blocks') > 100, 'archived blocks')
        assert robot.value('dropped blocks') == 0
        answer = robot.ask('map/save')
        assert answer.success, answer.message
        summary = json.loads((saved / 'summary.json').read_text())
        assert summary['metrics']['vertices'] > 1.5 * clouds[-1].width
        assert summary['metrics']['voxels'] == len(np.load(saved / 'map.npz')['centers'])


def test_a_save_that_fails_says_why(tmp_path):
    (tmp_path / 'notes.txt').write_text('mine')
    with mapping(tmp_path, save_folder=str(tmp_path)) as (_, robot):
        answer = robot.ask('map/save')
        assert not answer.success
        assert 'which this export does not write' in answer.message
        assert robot.ask('map/save').message == answer.message  # and it can be asked again


def test_unusable_settings_fail_with_one_line(tmp_path):
    with (
        NodeProcess('mapping_node', {'label_space': 'nowhere'}, {'__ns': '/unusable'}, tmp_path / 'log') as node,
        closing(Observer()) as observer,
    ):
        observer.spin_until(lambda: 'cannot configure' in node.log, 'the failure')
        assert observer.state_of('/unusable/mapping') == 'unconfigured'
        assert 'Traceback' not in node.log


def test_mapping_yaml_holds_every_parameter_with_its_default():
    text = resources.find('config', 'mapping').read_text(encoding='utf-8')
    written = yaml.safe_load(text)['/**']['mapping']['ros__parameters']
    declared = {
        spec.name: list(spec.default) if isinstance(spec.default, tuple) else spec.default for spec in PARAMETERS
    }
    assert written == declared

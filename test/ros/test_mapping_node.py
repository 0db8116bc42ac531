# SPDX-License-Identifier: Apache-2.0
"""The mapping node over DDS: what it publishes and saves is the room whose depth, labels and poses it was given."""

import json
import uuid
from contextlib import closing, contextmanager

import numpy as np
import pytest

pytest.importorskip('mtperception.mapping.volume', reason='needs Open3D', exc_type=ImportError)
pytest.importorskip('nav_msgs.msg')
pytest.importorskip('visualization_msgs.msg')

import yaml
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from graph import RELIABLE, NodeProcess, Observer
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from mapped_rooms import ROOM, TIMES, rightness
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from mtperception import resources
from mtperception.labels import load_label_space
from mtperception.mapping.parameters import PARAMETERS
from mtperception.messages.image_encoding import DEPTH_IMAGES, mono8_image
from mtperception.messages.point_cloud import POINT
from mtperception.ros.conversions import camera_info_from, rgb8_image, ros_message
from mtperception.ros.map_messages import UPDATE
from mtperception.synthetic import pose

VOXEL = 0.05
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
FOLLOWING = QoSProfile(depth=20, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TOPICS = {
    'image': Image,
    'depth/image': Image,
    'semantic/image': Image,
    'semantic/confidence': Image,
    'depth/camera_info': CameraInfo,
}


class Robot(Observer):
    """Publishes what a perception node and odometry say of the room, one frame after the other was fused."""

    def __init__(self, namespace, pose_type=PoseStamped):
        super().__init__('robot', namespace)
        self.name = f'{namespace}/mapping'
        self._publishers = {topic: self.node.create_publisher(kind, topic, RELIABLE) for topic, kind in TOPICS.items()}
        topic = 'pose' if pose_type in (PoseStamped, Odometry) else '/tf'
        self._publishers['pose'] = self.node.create_publisher(pose_type, topic, RELIABLE)
        self._pose_type, self._T_body_camera = pose_type, np.eye(4)
        self.collect(DiagnosticArray, '/diagnostics')

    def connect(self):
        heard = [publisher for topic, publisher in self._publishers.items() if topic != 'image']
        self.spin_until(lambda: all(p.get_subscription_count() for p in heard), 'subscriptions')
        self.spin_for(0.3)

    def show(self, number, seconds, **changes):
        """One frame of the room at a time of the walk, with a stamp of its own."""
        sample, header = ROOM.frame(seconds), header_of(number)
        parts = {
            'pose': self._pose(header, seconds),
            'image': rgb8_image(sample.image, header),
            'depth/image': ros_message(DEPTH_IMAGES['32FC1'](sample.depth), header),
            'semantic/image': ros_message(mono8_image(sample.labels + np.uint8(1)), header),
            'semantic/confidence': ros_message(mono8_image(np.full(sample.labels.shape, 230, np.uint8)), header),
            'depth/camera_info': camera_info_from(ROOM.intrinsics, header),
            **changes,
        }
        for topic, message in parts.items():
            if message is not None:
                self._publishers[topic].publish(message)

    def walk(self, times):
        """Show frames, each until it is fused; best effort may lose a part of one, which is then shown again."""
        for number, seconds in enumerate(times, 1):
            before = self.value('frames fused')
            for attempt in range(5):
                self.show(10 * number + attempt, seconds)
                if self._waited(lambda before=before: self.value('frames fused') > before):
                    break
            assert self.value('frames fused') > before, self.values()

    def _waited(self, condition):
        try:
            return self.spin_until(condition, 'a frame to be fused', timeout=10)
        except AssertionError:
            return False

    def values(self):
        """The newest diagnostics of the map."""
        for array in reversed(self.received['/diagnostics']):
            for status in array.status:
                if status.name == f'{self.name}: map':
                    return {'message': status.message} | {pair.key: pair.value for pair in status.values}
        return {}

    def value(self, key):
        return int(self.values().get(key, 0))

    def follow(self, follower):
        return self.node.create_subscription(PointCloud2, 'map/updates', follower.take, FOLLOWING)

    def service(self, name):
        """The client of a service that is asked once, which the node has discovered."""
        path = f'{self.node.get_namespace()}/{name}'
        client = self.client(Trigger, path)
        self.spin_until(client.service_is_ready, f'service {path}')
        self.until_discovered(self.name)
        return client

    def ask(self, service):
        answer = self.service(service).call_async(Trigger.Request())
        self.spin_until(answer.done, f'an answer of {service}')
        return answer.result()

    def tell_pose(self, number, seconds):
        """The pose of a frame alone."""
        self._publishers['pose'].publish(self._pose(header_of(number), seconds))

    def mount_camera(self):
        """From now on poses are those of base_link, on which the camera is at some place, as /tf_static says."""
        from geometry_msgs.msg import TransformStamped
        from tf2_ros import StaticTransformBroadcaster

        rotation = Rotation.from_euler('zyx', (40, -100, 15), degrees=True)
        self._T_body_camera[:3, :3], self._T_body_camera[:3, 3] = rotation.as_matrix(), (0.3, -0.2, 0.9)
        message = TransformStamped(header=Header(frame_id='base_link'), child_frame_id='camera_optical')
        fill(message.transform.translation, message.transform.rotation, self._T_body_camera)
        self._broadcaster = StaticTransformBroadcaster(self.node)
        self._broadcaster.sendTransform(message)

    def _pose(self, header, seconds):
        T_map_body = pose(seconds) @ np.linalg.inv(self._T_body_camera)
        header = Header(stamp=header.stamp, frame_id='map')
        if self._pose_type is PoseStamped:
            message = PoseStamped(header=header)
            fill(message.pose.position, message.pose.orientation, T_map_body)
        elif self._pose_type is Odometry:
            is_mounted = not np.array_equal(self._T_body_camera, np.eye(4))
            message = Odometry(header=header, child_frame_id='base_link' if is_mounted else 'camera_optical')
            fill(message.pose.pose.position, message.pose.pose.orientation, T_map_body)
        else:
            from geometry_msgs.msg import TransformStamped

            transform = TransformStamped(header=header, child_frame_id='base_link')
            fill(transform.transform.translation, transform.transform.rotation, T_map_body)
            message = self._pose_type(transforms=[transform])
        return message


def header_of(number):
    """A stamp for each number, a second apart, with nanoseconds that no rounding keeps."""
    header = Header(frame_id='camera_optical')
    header.stamp.sec, header.stamp.nanosec = 1_700_000_000 + number, 123_456_789
    return header


def fill(position, orientation, matrix):
    position.x, position.y, position.z = matrix[:3, 3].tolist()
    quaternion = Rotation.from_matrix(matrix[:3, :3]).as_quat().tolist()
    orientation.x, orientation.y, orientation.z, orientation.w = quaternion


@contextmanager
def mapping(folder, pose_source='pose_stamped', pose_type=PoseStamped, **parameters):
    namespace = f'/test_{uuid.uuid4().hex[:8]}'
    parameters = {'pose_source': pose_source, 'max_depth': 6.0, 'publish_period': 0.2, **parameters}
    with (
        NodeProcess('mapping_node', parameters, {'__ns': namespace}, folder / 'log') as node,
        closing(Robot(namespace, pose_type)) as robot,
    ):
        robot.spin_until(lambda: robot.state_of(robot.name) == 'active', 'the node to be active')
        robot.connect()
        yield node, robot


def points_of(message):
    return np.frombuffer(message.data, POINT)


class Follower:
    """Keeps a map by `map/updates` alone, as docs/mapping.md says."""

    def __init__(self):
        self.blocks, self.has_whole, self.number = {}, False, 0

    def take(self, message):
        rows = np.frombuffer(message.data, UPDATE)
        keys = np.stack([rows['block_x'], rows['block_y'], rows['block_z']], axis=1)
        assert (keys[0] == -(2**31)).all()
        number = int(rows['label'][0])
        self.has_whole = number == 0 or (self.has_whole and number == self.number + 1)
        self.number = number
        if number == 0:
            self.blocks.clear()
        rows, keys = rows[1:], keys[1:]
        for key in np.unique(keys, axis=0):
            of_block = rows[(keys == key).all(axis=1)]
            self.blocks.pop(tuple(key), None)
            if not np.isnan(of_block['x']).any():
                self.blocks[tuple(key)] = of_block

    @property
    def points(self):
        """In any order that depends on nothing but the points."""
        fields = list(POINT.names)
        return np.sort(np.concatenate([np.zeros(0, UPDATE), *self.blocks.values()])[fields].astype(POINT))


def follows(follower, cloud):
    count = sum(map(len, follower.blocks.values()))
    return follower.has_whole and count == cloud.width and np.array_equal(follower.points, np.sort(points_of(cloud)))


def xyz(points):
    return np.stack([points['x'], points['y'], points['z']], axis=1)


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

        answer = robot.ask('map/save')
        assert answer.success, answer.message
        assert f'of {robot.value("frames fused")} frames' in answer.message
        assert json.loads((folder / 'summary.json').read_text())['frames'] >= len(TIMES)
        assert len(np.load(folder / 'map.npz')['centers']) > 10_000
        late = Robot(robot.node.get_namespace())
        with closing(late):  # who comes later gets the map, too
            got = late.collect(PointCloud2, 'map/points', LATCHED)
            late.spin_until(lambda: got, 'the latched map')
            assert got[0].width == clouds[-1].width

        answer = robot.ask('map/reset')
        assert answer.success, answer.message
        robot.spin_until(lambda: clouds[-1].width == 0, 'an empty map')
        robot.spin_until(lambda: robot.value('frames fused') == 0, 'diagnostics of the empty map')


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
    options = {'voxel_size': 0.02, 'min_views': 1, 'use_image': False, 'publish_period': 3600.0}
    with mapping(tmp_path, save_folder=str(tmp_path / 'saved'), **options) as (node, robot):
        robot.walk(TIMES[:3])
        change = f'{robot.name}/change_state'
        robot.client(ChangeState, change)
        client = robot.service('map/save')
        saved = client.call_async(Trigger.Request())
        for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP):
            request = ChangeState.Request(transition=Transition(id=transition))
            assert robot.request(ChangeState, change, request, again_s=60).success
        robot.spin_until(saved.done, 'an answer')
        assert saved.result().success or 'cleaned up before this was finished' in saved.result().message
        assert robot.state_of(robot.name) == 'unconfigured'
        assert 'Traceback' not in node.log


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


def test_odometry_of_the_camera(tmp_path):
    with mapping(tmp_path, 'odometry', Odometry, min_views=1, use_image=False) as (_, robot):
        clouds = robot.collect(PointCloud2, 'map/points', LATCHED)
        robot.walk([0.0])
        robot.spin_until(lambda: clouds and clouds[-1].width, 'the map')
        points = points_of(clouds[-1])
        right, error, _ = rightness(xyz(points), points['label'] - 1, VOXEL, looks=(0.0,))
        assert right >= 0.99
        assert error < VOXEL / 2


def is_the_room(cloud):
    points = points_of(cloud)
    right, error, _ = rightness(xyz(points), points['label'] - 1, VOXEL, looks=(0.0,))
    return right >= 0.99 and error < VOXEL / 2


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


def late_poses(robot):
    """Show two frames, and only then say where the camera was; until both are fused."""
    for number in range(10, 60, 10):  # best effort may lose a part of a frame
        for later, seconds in enumerate((0.0, 0.1)):
            robot.show(number + later, seconds, pose=None)
            robot.spin_for(0.5)
        before = robot.value('frames fused')
        for later, seconds in enumerate((0.0, 0.1)):
            robot.tell_pose(number + later, seconds)
            robot.spin_for(2)  # else the second one takes the place of the first at the worker
        if robot.value('frames fused') == before + 2:
            return
    raise AssertionError(robot.values())


def test_poses_that_come_after_the_next_frame(tmp_path):
    """A frame waits for its own, though a newer one comes."""
    with mapping(tmp_path, min_views=1, use_image=False) as (_, robot):
        clouds = robot.collect(PointCloud2, 'map/points', LATCHED)
        late_poses(robot)
        robot.spin_until(lambda: clouds and clouds[-1].width, 'the map')
        assert is_the_room(clouds[-1])


def test_transforms_that_come_after_the_next_frame(tmp_path):
    """map -> base_link on /tf, base_link -> camera on /tf_static."""
    tf2_msgs = pytest.importorskip('tf2_msgs.msg', reason='needs tf2_msgs', exc_type=ImportError)
    pytest.importorskip('tf2_ros', reason='needs tf2_ros, which comes with ROS', exc_type=ImportError)
    with mapping(tmp_path, 'tf', tf2_msgs.TFMessage, min_views=1, use_image=False) as (_, robot):
        robot.mount_camera()
        clouds = robot.collect(PointCloud2, 'map/points', LATCHED)
        late_poses(robot)
        robot.spin_until(lambda: clouds and clouds[-1].width, 'the map')
        assert is_the_room(clouds[-1])


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

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
from mapped_rooms import ROOM, TIMES, rightness
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker

from mtperception import resources
from mtperception.mapping.parameters import PARAMETERS
from mtperception.messages.image_encoding import DEPTH_IMAGES, mono8_image
from mtperception.messages.point_cloud import POINT
from mtperception.ros.conversions import camera_info_from, rgb8_image, ros_message
from mtperception.synthetic import pose

VOXEL = 0.05
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
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
        types = {**TOPICS, 'pose': pose_type}
        self._publishers = {topic: self.node.create_publisher(kind, topic, RELIABLE) for topic, kind in types.items()}
        self._pose_type = pose_type
        self.collect(DiagnosticArray, '/diagnostics')

    def connect(self):
        heard = [publisher for topic, publisher in self._publishers.items() if topic != 'image']
        self.spin_until(lambda: all(p.get_subscription_count() for p in heard), 'subscriptions')
        self.spin_for(0.3)

    def show(self, number, seconds, **changes):
        """One frame of the room at a time of the walk, with a stamp of its own."""
        sample, header = ROOM.frame(seconds), Header(frame_id='camera_optical')
        header.stamp.sec, header.stamp.nanosec = 1_700_000_000 + number, 123_456_789
        parts = {
            'pose': self._pose(header, pose(seconds)),
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
            return self.spin_until(condition, 'a frame to be fused', timeout=5)
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

    def ask(self, service):
        return self.request(Trigger, f'{self.node.get_namespace()}/{service}', Trigger.Request(), again_s=60)

    def _pose(self, header, matrix):
        message = self._pose_type(header=Header(stamp=header.stamp, frame_id='map'))
        posed = message.pose
        if isinstance(message, Odometry):
            message.child_frame_id, posed = 'camera_optical', message.pose.pose
        x, y, z, w = Rotation.from_matrix(matrix[:3, :3]).as_quat()
        posed.position.x, posed.position.y, posed.position.z = matrix[:3, 3].tolist()
        o = posed.orientation
        o.x, o.y, o.z, o.w = float(x), float(y), float(z), float(w)
        return message


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


def xyz(points):
    return np.stack([points['x'], points['y'], points['z']], axis=1)


def test_the_map_is_the_room(tmp_path):
    folder = tmp_path / 'saved'
    with mapping(tmp_path, save_folder=str(folder)) as (_, robot):
        clouds = robot.collect(PointCloud2, 'map/points', LATCHED)
        updates = robot.collect(PointCloud2, 'map/updates', LATCHED)
        meshes = robot.collect(Marker, 'map/mesh', LATCHED)
        robot.walk(TIMES)
        robot.spin_until(lambda: clouds and meshes and updates, 'the map')
        robot.spin_for(1.5)
        points = points_of(clouds[-1])
        right, error, count = rightness(xyz(points), points['label'] - 1, VOXEL)
        assert clouds[-1].header.frame_id == 'map'
        assert count > 5000
        assert right >= 0.995
        assert error < VOXEL / 2
        assert ((points['confidence'] >= 0) & (points['confidence'] <= 1)).all()
        assert len(points_of(updates[-1])) < 0.8 * len(points)
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


def test_odometry_of_the_camera(tmp_path):
    with mapping(tmp_path, 'odometry', Odometry, min_views=1, use_image=False) as (_, robot):
        clouds = robot.collect(PointCloud2, 'map/points', LATCHED)
        robot.walk([0.0])
        robot.spin_until(lambda: clouds and clouds[-1].width, 'the map')
        points = points_of(clouds[-1])
        right, error, _ = rightness(xyz(points), points['label'] - 1, VOXEL, looks=(0.0,))
        assert right >= 0.99
        assert error < VOXEL / 2


def test_what_cannot_be_fused_is_counted_with_its_reason(tmp_path):
    with mapping(tmp_path) as (_, robot):
        robot.show(1, 0.0, pose=None)
        robot.show(2, 0.0)  # a newer frame: the first one gets no pose any more
        robot.spin_until(lambda: robot.value('dropped no pose') == 1, 'a frame without a pose')
        assert 'no pose within 0.05 s' in robot.values()['last reason']
        header = Header(frame_id='camera_optical')
        header.stamp.sec, header.stamp.nanosec = 1_700_000_003, 123_456_789
        robot.show(3, 0.0, **{'semantic/image': rgb8_image(np.zeros((240, 320, 3), np.uint8), header)})
        robot.spin_until(lambda: robot.value('dropped refused') == 1, 'a frame that is refused')
        assert "found 'rgb8', expected mono8" in robot.values()['last reason']
        robot.walk([1.0, 1.1])  # and the next good ones are fused


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

# SPDX-License-Identifier: Apache-2.0
"""A robot that walks through the rendered room before a mapping node, and a follower of its map."""

import uuid
from contextlib import closing, contextmanager

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from graph import RELIABLE, NodeProcess, Observer
from mapped_rooms import ROOM, rightness
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from scipy.spatial.transform import Rotation
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from std_srvs.srv import Trigger

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
        self.pose_frame, self.body = 'map', 'camera_optical'
        """What messages name as the frame of poses, and of what they are."""
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

    def walk(self, times, **makers):
        """Show frames, each until it is fused; best effort may lose a part of one, which is then shown again.

        Args:
            times: of the walk.
            makers: by topic, functions from a header to the message to send instead of the room's.
        """
        for number, seconds in enumerate(times, 1):
            before = self.value('frames fused')
            for attempt in range(5):
                header = header_of(10 * number + attempt)
                made = {topic: make(header) for topic, make in makers.items()}
                self.show(10 * number + attempt, seconds, **made)
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
        header = Header(stamp=header.stamp, frame_id=self.pose_frame)
        if self._pose_type is PoseStamped:
            message = PoseStamped(header=header)
            fill(message.pose.position, message.pose.orientation, T_map_body)
        elif self._pose_type is Odometry:
            is_mounted = not np.array_equal(self._T_body_camera, np.eye(4))
            message = Odometry(header=header, child_frame_id='base_link' if is_mounted else self.body)
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
def mapping(folder, pose_source='pose_stamped', pose_type=PoseStamped, qos=(), **parameters):
    """A mapping node, active, and a robot before it; `qos` are pairs of a topic's policy and its value."""
    namespace = f'/test_{uuid.uuid4().hex[:8]}'
    parameters = {'pose_source': pose_source, 'max_depth': 6.0, 'publish_period': 0.2, **parameters}
    parameters |= {f'qos_overrides.{namespace}/{policy}': value for policy, value in qos}
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


def is_the_room(cloud):
    points = points_of(cloud)
    right, error, _ = rightness(xyz(points), points['label'] - 1, VOXEL, looks=(0.0,))
    return right >= 0.99 and error < VOXEL / 2

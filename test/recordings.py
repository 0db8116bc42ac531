# SPDX-License-Identifier: Apache-2.0
"""For tests: bags of a camera with depth, labels and motion, from the synthetic room or from any frames."""

import json
import struct

import cv2
import numpy as np
from bags import STORE, header, make
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer

from mtperception.geometry import depth_in_millimeters
from mtperception.recording.recording import Recording
from mtperception.recording.recording_options import RecordingOptions
from mtperception.recording.topics import TopicRequest
from mtperception.synthetic import SyntheticRoom, pose
from mtperception.types import Intrinsics

MS = 1_000_000
IMAGE, INFO = '/cam/color/image_raw', '/cam/color/camera_info'
DEPTH, DEPTH_INFO = '/cam/depth/image_raw', '/cam/depth/camera_info'
LABELS, ODOM = '/truth/labels', '/odom'


def stamped(stamp_ns, frame='camera'):
    made = header(stamp_ns)
    made.frame_id = frame
    return made


def image(pixels, stamp_ns, encoding='rgb8', frame='camera'):
    """An Image of any pixels."""
    rows = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], -1)
    head = stamped(stamp_ns, frame)
    return make('sensor_msgs/msg/Image', head, *pixels.shape[:2], encoding, 0, rows.shape[1], rows.ravel())


def compressed(data, stamp_ns, text, frame='camera'):
    data = np.frombuffer(bytes(data), np.uint8)
    return make('sensor_msgs/msg/CompressedImage', stamped(stamp_ns, frame), text, data)


def png_bytes(pixels):
    return cv2.imencode('.png', pixels)[1].tobytes()


def info(intrinsics, stamp_ns=0, frame='camera'):
    c = intrinsics
    k = np.array([c.fx, 0, c.cx, 0, c.fy, c.cy, 0, 0, 1], float)
    roi = make('sensor_msgs/msg/RegionOfInterest', 0, 0, 0, 0, False)
    fields = (c.height, c.width, 'plumb_bob', np.zeros(5), k, np.eye(3).ravel(), np.zeros(12), 0, 0, roi)
    return make('sensor_msgs/msg/CameraInfo', stamped(stamp_ns, frame), *fields)


def depth_16u(depth, stamp_ns, frame='camera'):
    return image(depth_in_millimeters(depth), stamp_ns, '16UC1', frame)


def depth_32f(depth, stamp_ns, frame='camera'):
    return image(np.where(depth > 0, depth, np.nan).astype(np.float32), stamp_ns, '32FC1', frame)


def depth_compressed_16u(depth, stamp_ns, frame='camera'):
    data = struct.pack('<iff', 0, 0, 0) + png_bytes(depth_in_millimeters(depth))
    return compressed(data, stamp_ns, '16UC1; compressedDepth png', frame)


def depth_compressed_32f(depth, stamp_ns, frame='camera', quantisation=100.0, furthest=10.0):
    """As `encodeCompressedDepthImage` of compressed_depth_image_transport quantises inverse depth."""
    a = np.float32(quantisation * (quantisation + 1))
    b = np.float32(1 - a / furthest)
    near = (depth > 0) & (depth < furthest)
    inverse = np.where(near, a / np.where(near, depth, 1) + b, 0).astype(np.uint16)
    data = struct.pack('<iff', 0, a, b) + png_bytes(inverse)
    return compressed(data, stamp_ns, '32FC1; compressedDepth png', frame)


def quaternion(rotation):
    """x y z w of a rotation matrix, by its largest component so that no division is by almost zero; zeros of zeros."""
    m = rotation
    if not m.any():
        return np.zeros(4)
    squares = np.array(
        [
            1 + m[0, 0] - m[1, 1] - m[2, 2],
            1 - m[0, 0] + m[1, 1] - m[2, 2],
            1 - m[0, 0] - m[1, 1] + m[2, 2],
            1 + np.trace(m),
        ]
    )
    products = np.array(
        [
            [squares[0], m[0, 1] + m[1, 0], m[0, 2] + m[2, 0], m[2, 1] - m[1, 2]],
            [m[0, 1] + m[1, 0], squares[1], m[1, 2] + m[2, 1], m[0, 2] - m[2, 0]],
            [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], squares[2], m[1, 0] - m[0, 1]],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], squares[3]],
        ]
    )
    q = products[np.argmax(squares)]
    return q / np.linalg.norm(q)


def pose_message(matrix):
    point = make('geometry_msgs/msg/Point', *matrix[:3, 3])
    return make('geometry_msgs/msg/Pose', point, make('geometry_msgs/msg/Quaternion', *quaternion(matrix[:3, :3])))


def posestamped(matrix, stamp_ns, frame='world'):
    return make('geometry_msgs/msg/PoseStamped', stamped(stamp_ns, frame), pose_message(matrix))


def odometry(matrix, stamp_ns, child='base', frame='odom'):
    vector = make('geometry_msgs/msg/Vector3', 0.0, 0.0, 0.0)
    twist = make('geometry_msgs/msg/TwistWithCovariance', make('geometry_msgs/msg/Twist', vector, vector), np.zeros(36))
    posed = make('geometry_msgs/msg/PoseWithCovariance', pose_message(matrix), np.zeros(36))
    return make('nav_msgs/msg/Odometry', stamped(stamp_ns, frame), child, posed, twist)


def transforms(*entries):
    """A TFMessage of (parent, child, matrix, stamp)."""
    made = []
    for parent, child, matrix, stamp_ns in entries:
        translation = make('geometry_msgs/msg/Vector3', *matrix[:3, 3])
        rotation = make('geometry_msgs/msg/Quaternion', *quaternion(matrix[:3, :3]))
        transform = make('geometry_msgs/msg/Transform', translation, rotation)
        made.append(make('geometry_msgs/msg/TransformStamped', stamped(stamp_ns, parent), child, transform))
    return make('tf2_msgs/msg/TFMessage', made)


def translation(x=0.0, y=0.0, z=0.0):
    matrix = np.eye(4)
    matrix[:3, 3] = x, y, z
    return matrix


def write_recording(path, messages, plugin=StoragePlugin.SQLITE3, compression=None):
    """A bag of (topic, message) pairs in the order given, received 10 ms apart."""
    writer = Writer(path, version=9, storage_plugin=plugin)
    if compression:
        writer.set_compression(CompressionMode[compression], CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for position, (topic, message) in enumerate(messages):
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            stamp_ns = 10**12 + position * 10 * MS
            writer.write(connections[topic], stamp_ns, STORE.serialize_cdr(message, kind))
    return path


def room_messages(count, width=96, height=72, encode_depth=depth_16u, period=0.1, with_odometry=True):
    """A walk through the synthetic room: image, camera_info, depth, and odometry of the camera itself."""
    room = SyntheticRoom(width, height)
    for index in range(count):
        seconds = index * period
        stamp_ns = 10**12 + round(seconds * 1e9)
        sample = room.frame(seconds)
        yield INFO, info(room.intrinsics, stamp_ns)
        yield IMAGE, image(sample.image, stamp_ns)
        yield DEPTH, encode_depth(sample.depth, stamp_ns)
        yield LABELS, image(sample.labels + np.uint8(1), stamp_ns, 'mono8')
        if with_odometry:
            yield ODOM, odometry(pose(seconds), stamp_ns, child='camera')


def kitchen_messages(root, count=None):
    """data/sevenscenes_kitchen as a camera would have recorded it: JPEG, compressedDepth and the camera's pose."""
    layout = json.loads((root / 'dataset.json').read_text(encoding='utf-8'))
    camera = Intrinsics(*(layout[key] for key in ('fx', 'fy', 'cx', 'cy', 'width', 'height')))
    for name in (root / 'train.txt').read_text(encoding='utf-8').split()[:count]:
        stamp_ns = 10**12 + round(int(name) / 30 * 1e9)
        depth = (root / layout['depth'].format(id=name)).read_bytes()
        T_world_camera = np.loadtxt(root / layout['pose'].format(id=name))
        yield INFO, info(camera, stamp_ns)
        yield f'{IMAGE}/compressed', compressed((root / layout['rgb'].format(id=name)).read_bytes(), stamp_ns, 'jpeg')
        yield f'{DEPTH}/compressedDepth', compressed(bytes(12) + depth, stamp_ns, '16UC1; compressedDepth png')
        yield '/pose', posestamped(T_world_camera, stamp_ns)


def color(value):
    """Pixels that are known by their red."""
    return np.full((2, 4, 3), (value, 2, 3), np.uint8)


def frames_of(path, request=None, **options):
    """The frames of a bag, what was noted, and the facts."""
    with Recording(path, RecordingOptions(request or TopicRequest(), **options)) as recording:
        return list(recording.frames()), recording.notes, recording.facts()

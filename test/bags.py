# SPDX-License-Identifier: Apache-2.0
"""For tests: writes bags of small messages, without ROS."""

import cv2
import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from mtperception.types import Intrinsics

STORE = get_typestore(Stores.ROS2_JAZZY)
WIDTH, HEIGHT = 8, 6
CAMERA = Intrinsics(100.0, 110.0, 3.5, 2.5, WIDTH, HEIGHT)


def make(name, *fields):
    return STORE.types[name](*fields)


def header(stamp_ns):
    stamp = make('builtin_interfaces/msg/Time', *divmod(stamp_ns, 10**9))
    return make('std_msgs/msg/Header', stamp, 'camera')


def raw(rgb, stamp_ns=0, encoding='rgb8'):
    """An Image of uint8 or uint16 pixels as they are."""
    rows = np.ascontiguousarray(rgb).view(np.uint8).reshape(rgb.shape[0], -1)
    fields = (*rgb.shape[:2], encoding, 0, rows.shape[1], rows.ravel())
    return make('sensor_msgs/msg/Image', header(stamp_ns), *fields)


def png(rgb, stamp_ns=0):
    data = cv2.imencode('.png', rgb[..., ::-1])[1].ravel()
    return make('sensor_msgs/msg/CompressedImage', header(stamp_ns), 'png', data)


def camera_info(fx=CAMERA.fx, stamp_ns=0):
    k = np.array([fx, 0, CAMERA.cx, 0, CAMERA.fy, CAMERA.cy, 0, 0, 1], float)
    roi = make('sensor_msgs/msg/RegionOfInterest', 0, 0, 0, 0, False)
    fields = (HEIGHT, WIDTH, 'plumb_bob', np.zeros(5), k, np.eye(3).ravel(), np.zeros(12), 0, 0, roi)
    return make('sensor_msgs/msg/CameraInfo', header(stamp_ns), *fields)


def color(value):
    return np.full((HEIGHT, WIDTH, 3), (value, 2, 3), np.uint8)


def write_bag(path, messages, plugin=StoragePlugin.SQLITE3, compression=CompressionMode.NONE):
    """A bag of (topic, message) pairs, received a second apart from second 1000 on."""
    writer = Writer(path, version=9, storage_plugin=plugin)
    writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for second, (topic, message) in enumerate(messages):
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], (1000 + second) * 10**9, STORE.serialize_cdr(message, kind))
    return path

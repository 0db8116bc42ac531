# SPDX-License-Identifier: Apache-2.0
"""rclpy can check every field that is assigned; whoever switches that on gets the same messages."""

import os
import subprocess
import sys

EVERY_OUTPUT = """
import numpy as np
from std_msgs.msg import Header
from mtperception.messages import camera_info, image_encoding, point_cloud
from mtperception.ros.conversions import ros_message
from mtperception.types import Intrinsics

header = Header(frame_id='camera')
rgb = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
gray, xyz = rgb[..., 0], rgb.astype(np.float32)
messages = [
    image_encoding.mono8_image(gray),
    image_encoding.rgb8_image(rgb),
    *(convert(xyz[..., 0]) for convert in image_encoding.DEPTH_IMAGES.values()),
    image_encoding.normals_image(xyz),
    image_encoding.jpeg_image(rgb),
    point_cloud.point_cloud(xyz, rgb, gray, gray),
    camera_info.camera_info(Intrinsics(500, 500, 2, 1, 4, 2)),
]
for message in messages:
    print(ros_message(message, header))
"""


def printed(check_fields):
    # rclpy reads the variable when a message package is loaded, hence a process of its own.
    environment = os.environ | {'ROS_PYTHON_CHECK_FIELDS': check_fields}
    command = [sys.executable, '-c', EVERY_OUTPUT]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_checks_do_not_change_what_is_published():
    unchecked = printed('')
    assert unchecked.count('sensor_msgs.msg.') >= 8
    assert printed('1') == unchecked

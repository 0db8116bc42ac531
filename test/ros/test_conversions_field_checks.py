"""rclpy can check every field that is assigned; whoever switches that on gets the same messages."""

import os
import subprocess
import sys

EVERY_OUTPUT = """
import numpy as np
from std_msgs.msg import Header
from mtperception.ros import conversions
from mtperception.types import Intrinsics

header = Header(frame_id='camera')
rgb = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
gray, xyz = rgb[..., 0], rgb.astype(np.float32)
messages = [
    conversions.mono8_image(gray, header),
    conversions.rgb8_image(rgb, header),
    *(convert(xyz[..., 0], header) for convert in conversions.DEPTH_IMAGES.values()),
    conversions.normals_image(xyz, header),
    conversions.jpeg_image(rgb, header),
    conversions.point_cloud(xyz, rgb, gray, gray, header),
    conversions.camera_info_from(Intrinsics(500, 500, 2, 1, 4, 2), header),
]
for message in messages:
    print(message)
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

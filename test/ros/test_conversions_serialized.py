# SPDX-License-Identifier: Apache-2.0
"""Images laid out by us are what rclpy would have sent."""

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mtperception.messages.image_encoding import DEPTH_IMAGES, mono8_image, normals_image, rgb8_image
from mtperception.ros.conversions import ros_message, serialized_image

RGB = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
MESSAGES = {
    'mono8': mono8_image(RGB[..., 0]),
    'rgb8': rgb8_image(RGB),
    **{encoding: make(RGB[..., 0].astype(np.float32)) for encoding, make in DEPTH_IMAGES.items()},
    '32FC3': normals_image(RGB.astype(np.float32)),
}


@pytest.mark.parametrize('encoding', MESSAGES)
@pytest.mark.parametrize('frame_id', ['', 'c', 'ca', 'cam', 'came', 'camera_optical_frame', 'Kamera hinten, größer'])
def test_rclpy_reads_the_message_that_it_would_have_made(encoding, frame_id):
    """Every length of the texts that stand before numbers, which are aligned."""
    header = Header(stamp=Time(sec=-5, nanosec=4_000_000_000), frame_id=frame_id)
    ours, theirs = serialized_image(MESSAGES[encoding], header), ros_message(MESSAGES[encoding], header)
    assert deserialize_message(ours, Image) == theirs
    # What pads is not compared: rclpy does not set it.
    assert 0 <= len(serialize_message(theirs)) - len(ours) < 4, 'rclpy also pads the end'


def test_an_image_by_hand():
    header = Header(stamp=Time(sec=1, nanosec=2), frame_id='ab')
    expected = (
        b'\x00\x01\x00\x00'  # CDR, little-endian
        b'\x01\x00\x00\x00\x02\x00\x00\x00'  # stamp
        b'\x03\x00\x00\x00ab\x00\x00'  # frame_id: three bytes with the zero, padded by one
        b'\x01\x00\x00\x00\x02\x00\x00\x00'  # height 1, width 2
        b'\x06\x00\x00\x00mono8\x00'  # encoding
        b'\x00\x00'  # is_bigendian at byte 34, padded by one to 36
        b'\x02\x00\x00\x00\x02\x00\x00\x00\x07\x09'  # step, length, pixels
    )
    assert serialized_image(mono8_image(np.array([[7, 9]], np.uint8)), header) == expected
    read = deserialize_message(expected, Image)
    assert (read.header, read.width, read.encoding, bytes(read.data)) == (header, 2, 'mono8', b'\x07\x09')

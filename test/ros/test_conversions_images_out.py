# SPDX-License-Identifier: Apache-2.0
import array
import struct

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from mtperception.messages import compressed_to_rgb, image_to_rgb
from mtperception.messages.image_encoding import (
    DEPTH_IMAGES,
    depth_image_16uc1,
    depth_image_32fc1,
    jpeg_image,
    mono8_image,
    normals_image,
    rgb8_image,
)
from mtperception.ros.conversions import ros_message

HEADER = Header(stamp=Time(sec=12, nanosec=345678901), frame_id='camera_optical')
MONO = np.array([[0, 1, 255], [7, 8, 9]], np.uint8)
RGB = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
DEPTH = np.array([[0.0, 1.5, 2.25], [0.5, 0.0, 60.0]], np.float32)
NORMALS = np.arange(18, dtype=np.float32).reshape(2, 3, 3) / 18

# Function, its values, encoding, step and format of all the data.
LAYOUTS = [
    (mono8_image, MONO, 'mono8', 3, '<6B'),
    (rgb8_image, RGB, 'rgb8', 9, '<18B'),
    (depth_image_32fc1, DEPTH, '32FC1', 12, '<6f'),
    (depth_image_16uc1, DEPTH, '16UC1', 6, '<6H'),
    (normals_image, NORMALS, '32FC3', 36, '<18f'),
]
PUBLISHED = {
    '32FC1': [np.nan, 1.5, 2.25, 0.5, np.nan, 60.0],
    '16UC1': [0, 1500, 2250, 500, 0, 60000],
}


@pytest.mark.parametrize(('convert', 'values', 'encoding', 'step', 'layout'), LAYOUTS)
class TestImages:
    def test_every_field(self, convert, values, encoding, step, layout):
        msg = ros_message(convert(values), HEADER)
        assert msg.header == HEADER
        assert (msg.width, msg.height, msg.encoding, msg.step, msg.is_bigendian) == (3, 2, encoding, step, 0)
        expected = PUBLISHED.get(encoding, values.ravel())
        np.testing.assert_array_equal(struct.unpack(layout, bytes(msg.data)), expected)

    def test_arrays_that_are_not_contiguous(self, convert, values, encoding, step, layout):
        expected = ros_message(convert(np.ascontiguousarray(values[:, ::-1])), HEADER)
        assert bytes(ros_message(convert(values[:, ::-1]), HEADER).data) == bytes(expected.data)

    def test_the_message_does_not_share_the_array(self, convert, values, encoding, step, layout):
        values = values.copy()
        msg = ros_message(convert(values), HEADER)
        before = bytes(msg.data)
        values[:] = 0
        assert bytes(msg.data) == before

    def test_the_array_is_not_changed(self, convert, values, encoding, step, layout):
        before = values.copy()
        ros_message(convert(values), HEADER)
        np.testing.assert_array_equal(values, before)

    def test_header_is_a_copy(self, convert, values, encoding, step, layout):
        msg = ros_message(convert(values), HEADER)
        msg.header.stamp.nanosec = 0
        msg.header.frame_id = ''
        assert (HEADER.stamp.nanosec, HEADER.frame_id) == (345678901, 'camera_optical')

    def test_data_is_what_rclpy_takes_fast(self, convert, values, encoding, step, layout):
        data = ros_message(convert(values), HEADER).data
        assert isinstance(data, array.array)
        assert data.typecode == 'B'


class TestDepth:
    @pytest.mark.parametrize(
        ('meters', 'millimeters'),
        [
            (1.2344, 1234),
            (1.2346, 1235),
            (0.0004, 0),
            (0.0006, 1),
            (65.535, 65535),
            (65.536, 0),
            (70.0, 0),
            (1e30, 0),
            (np.inf, 0),
            (np.nan, 0),
            (-1.0, 0),
            (0.0, 0),
        ],
    )
    @pytest.mark.filterwarnings('error')
    def test_millimeters(self, meters, millimeters):
        msg = ros_message(depth_image_16uc1(np.array([[meters]], np.float32)), HEADER)
        assert struct.unpack('<H', bytes(msg.data)) == (millimeters,)

    @pytest.mark.parametrize('meters', [0.0, -1.0, np.nan])
    def test_invalid_meters_are_nan(self, meters):
        msg = ros_message(depth_image_32fc1(np.array([[meters]], np.float32)), HEADER)
        assert np.isnan(struct.unpack('<f', bytes(msg.data)))

    def test_by_encoding(self):
        assert {encoding: ros_message(make(DEPTH), HEADER).encoding for encoding, make in DEPTH_IMAGES.items()} == {
            '32FC1': '32FC1',
            '16UC1': '16UC1',
        }


class TestThereAndBack:
    def test_rgb8(self):
        np.testing.assert_array_equal(image_to_rgb(ros_message(rgb8_image(RGB), HEADER)), RGB)

    def test_mono8(self):
        np.testing.assert_array_equal(image_to_rgb(ros_message(mono8_image(MONO), HEADER))[..., 1], MONO)

    def test_jpeg(self):
        rgb = np.full((16, 24, 3), (200, 100, 50), np.uint8)
        msg = ros_message(jpeg_image(rgb), HEADER)
        assert msg.header == HEADER
        assert msg.format == 'rgb8; jpeg compressed bgr8'
        assert bytes(msg.data[:3]) == b'\xff\xd8\xff'
        np.testing.assert_allclose(compressed_to_rgb(msg).astype(int), rgb, atol=3)


@pytest.mark.parametrize(
    ('convert', 'values', 'reason'),
    [
        (mono8_image, MONO.astype(np.int64), r'found int64 of shape \(2, 3\) for mono8, expected uint8 H,W'),
        (mono8_image, RGB, r'found uint8 of shape \(2, 3, 3\) for mono8'),
        (rgb8_image, MONO, r'expected uint8 H,W,3'),
        (rgb8_image, RGB[..., :2], r'expected uint8 H,W,3'),
        (depth_image_32fc1, DEPTH.astype(np.float64), r'found float64 .* expected float32 H,W'),
        (normals_image, DEPTH, r'expected float32 H,W,3'),
        (jpeg_image, MONO, r'expected uint8 H,W,3'),
    ],
)
def test_another_type_or_shape_is_an_error(convert, values, reason):
    with pytest.raises(ValueError, match=reason):
        convert(values)

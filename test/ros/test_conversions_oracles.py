# SPDX-License-Identifier: Apache-2.0
"""Our messages read back by the libraries that most consumers use; skipped where they cannot be imported."""

import cv2
import numpy as np
import pytest
from std_msgs.msg import Header

from mtperception.messages import image_to_rgb
from mtperception.messages.image_encoding import (
    depth_image_16uc1,
    depth_image_32fc1,
    jpeg_image,
    mono8_image,
    normals_image,
    rgb8_image,
)
from mtperception.messages.point_cloud import point_cloud
from mtperception.ros.conversions import ros_message

RNG = np.random.default_rng(0)
MONO = RNG.integers(0, 256, (6, 8), np.uint8)
RGB = RNG.integers(0, 256, (6, 8, 3), np.uint8)
DEPTH = RNG.uniform(0.5, 10, (6, 8)).astype(np.float32)
DEPTH[::2] = 0
NORMALS = RNG.normal(size=(6, 8, 3)).astype(np.float32)


@pytest.fixture(scope='module')
def bridge():
    # Its binary is loaded on first use only, and one that was built for another NumPy fails then.
    pytest.importorskip('cv_bridge.boost.cv_bridge_boost', reason='needs cv_bridge', exc_type=ImportError)
    from cv_bridge import CvBridge

    return CvBridge()


class TestCvBridge:
    @pytest.mark.parametrize(
        ('msg', 'expected'),
        [
            (ros_message(mono8_image(MONO), Header()), MONO),
            (ros_message(rgb8_image(RGB), Header()), RGB),
            (ros_message(depth_image_32fc1(DEPTH), Header()), np.where(DEPTH > 0, DEPTH, np.nan)),
            (ros_message(depth_image_16uc1(DEPTH), Header()), np.rint(DEPTH * 1000).astype(np.uint16)),
            (ros_message(normals_image(NORMALS), Header()), NORMALS),
        ],
    )
    def test_images(self, bridge, msg, expected):
        np.testing.assert_array_equal(bridge.imgmsg_to_cv2(msg), expected)

    def test_jpeg(self, bridge):
        smooth = cv2.resize(RGB, (64, 48))
        bgr = bridge.compressed_imgmsg_to_cv2(ros_message(jpeg_image(smooth), Header()))
        assert np.abs(bgr[..., ::-1].astype(int) - smooth).mean() < 5

    @pytest.mark.parametrize(
        ('encoding', 'channels'),
        [
            ('rgb8', 3),
            ('bgr8', 3),
            ('rgba8', 4),
            ('bgra8', 4),
            ('mono8', 1),
            ('yuv422', 2),
            ('bayer_rggb8', 1),
            ('bayer_bggr8', 1),
            ('bayer_gbrg8', 1),
            ('bayer_grbg8', 1),
        ],
    )
    def test_images_in(self, bridge, encoding, channels):
        pixels = RNG.integers(0, 256, (6, 8, channels), np.uint8)
        msg = bridge.cv2_to_imgmsg(pixels if channels > 1 else pixels[..., 0], encoding)
        np.testing.assert_array_equal(image_to_rgb(msg), bridge.imgmsg_to_cv2(msg, 'rgb8'))


def test_read_points():
    point_cloud2 = pytest.importorskip('sensor_msgs_py.point_cloud2', reason='needs sensor_msgs_py')
    points = RNG.normal(size=(6, 8, 3)).astype(np.float32)
    points[0, 0] = np.nan
    read = point_cloud2.read_points(ros_message(point_cloud(points, RGB, MONO, MONO), Header())).reshape(6, 8)
    assert read.dtype.names == ('x', 'y', 'z', 'rgb', 'label', 'confidence')
    np.testing.assert_array_equal(np.stack([read['x'], read['y'], read['z']], axis=-1), points)
    # Colours as PCL and rviz unpack them: the float's bits as an integer.
    packed = np.ascontiguousarray(read['rgb']).view(np.uint32)
    np.testing.assert_array_equal(np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=-1), RGB)
    assert not (packed >> 24).any()
    np.testing.assert_array_equal(read['label'], MONO)
    np.testing.assert_allclose(read['confidence'], MONO / 255, rtol=1e-6)

# SPDX-License-Identifier: Apache-2.0
import struct

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from sensor_msgs.msg import PointField
from std_msgs.msg import Header

from mtperception.messages.point_cloud import point_cloud
from mtperception.ros.conversions import ros_message

HEADER = Header(stamp=Time(sec=12, nanosec=345678901), frame_id='camera_optical')
POINTS = np.arange(18, dtype=np.float32).reshape(2, 3, 3) / 4
POINTS[1, 1] = np.nan
RGB = np.arange(100, 118, dtype=np.uint8).reshape(2, 3, 3)
LABELS = np.array([[0, 1, 2], [40, 254, 255]], np.uint8)
CONFIDENCE = np.array([[0, 51, 102], [153, 204, 255]], np.uint8)


def cloud(**changes):
    maps = {'points': POINTS, 'rgb': RGB, 'labels': LABELS, 'confidence': CONFIDENCE} | changes
    return ros_message(point_cloud(**maps), HEADER)


def test_description():
    msg = cloud()
    assert msg.header == HEADER
    assert (msg.width, msg.height, msg.point_step, msg.row_step) == (3, 2, 24, 72)
    assert not msg.is_bigendian
    assert not msg.is_dense
    assert [(f.name, f.offset, f.datatype, f.count) for f in msg.fields] == [
        ('x', 0, PointField.FLOAT32, 1),
        ('y', 4, PointField.FLOAT32, 1),
        ('z', 8, PointField.FLOAT32, 1),
        ('rgb', 12, PointField.FLOAT32, 1),
        ('label', 16, PointField.UINT32, 1),
        ('confidence', 20, PointField.FLOAT32, 1),
    ]


def test_every_byte():
    data = bytes(cloud().data)
    assert len(data) == 144
    for i, (row, column) in enumerate(np.ndindex(2, 3)):
        x, y, z, rgb, label, confidence = struct.unpack_from('<3f2If', data, 24 * i)
        np.testing.assert_array_equal((x, y, z), POINTS[row, column])
        red, green, blue = map(int, RGB[row, column])
        assert rgb == red << 16 | green << 8 | blue
        assert label == LABELS[row, column]
        assert confidence == np.float32(CONFIDENCE[row, column]) / np.float32(255)


def test_full_confidence_is_one():
    data = bytes(cloud(confidence=np.full((2, 3), 255, np.uint8)).data)
    assert struct.unpack_from('<f', data, 20) == (1.0,)


def test_every_second_pixel_of_larger_maps():
    # Strided views, as point_stride makes them.
    larger = {'points': POINTS, 'rgb': RGB, 'labels': LABELS, 'confidence': CONFIDENCE}
    strided = {name: np.repeat(np.repeat(values, 2, 0), 2, 1)[::2, ::2] for name, values in larger.items()}
    assert bytes(cloud(**strided).data) == bytes(cloud().data)


def test_header_is_a_copy():
    cloud().header.stamp.nanosec = 0
    assert HEADER.stamp.nanosec == 345678901


@pytest.mark.parametrize('name', ['rgb', 'labels', 'confidence'])
def test_maps_of_different_sizes_are_an_error(name):
    full = {'rgb': RGB, 'labels': LABELS, 'confidence': CONFIDENCE}[name]
    with pytest.raises(ValueError, match='expected one height and width'):
        cloud(**{name: full[:1]})  # one row, which NumPy would repeat in silence

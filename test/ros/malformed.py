# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for messages as broken senders make them.

Each starts from a sound message and breaks some of its fields, so that every check is reached; now and then a message
stays sound. All of them can be published over DDS: no string holds what a ROS string cannot.

    import malformed

    @given(malformed.images())
    def test_...(msg): ...
"""

import array

import cv2
import numpy as np
from hypothesis import strategies as st
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

ROW_BYTES_PER_PIXEL = {
    'rgb8': 3,
    'bgr8': 3,
    'rgba8': 4,
    'bgra8': 4,
    'mono8': 1,
    '8UC1': 1,
    '8UC3': 3,
    'mono16': 2,
    'bayer_rggb8': 1,
    'bayer_bggr8': 1,
    'bayer_gbrg8': 1,
    'bayer_grbg8': 1,
    'uyvy': 2,
    'yuv422': 2,
    'yuyv': 2,
    'yuv422_yuy2': 2,
    'nv21': 1,
}
UINT32 = st.one_of(
    st.integers(0, 16),
    st.sampled_from([639, 640, 4096, 4097, 16384, 16385, 65535, 2**31, 2**32 - 1]),
    st.integers(0, 2**32 - 1),
)
TEXT = st.text(st.characters(exclude_categories=['Cs'], exclude_characters='\0'), max_size=60)
ENCODING = st.one_of(st.sampled_from([*ROW_BYTES_PER_PIXEL, '32FC1', '16UC1', 'nv12', 'RGB8', 'rgb8 ']), TEXT)
NUMBER = st.one_of(st.floats(), st.sampled_from([0.0, -1.0, 1e308, 5e-324]))


@st.composite
def images(draw):
    """sensor_msgs/Image, mostly small, with up to three of its fields broken."""
    encoding = draw(st.sampled_from(list(ROW_BYTES_PER_PIXEL)))
    width, height = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    step = width * ROW_BYTES_PER_PIXEL[encoding] + draw(st.integers(0, 5))
    size = step * height * 3 // 2 if encoding == 'nv21' else step * height
    msg = Image(width=width, height=height, encoding=encoding, step=step, is_bigendian=draw(st.integers(0, 255)))
    msg.data = array.array('B', draw(st.binary(min_size=size, max_size=size)))
    for name in draw(st.sets(st.sampled_from(['width', 'height', 'step', 'encoding', 'data']), max_size=3)):
        setattr(msg, name, draw(_broken_image_field(name, getattr(msg, name))))
    return msg


def _broken_image_field(name, value):
    if name == 'encoding':
        return ENCODING
    if name == 'data':
        longer = st.binary(max_size=64).map(lambda extra: array.array('B', bytes(value) + extra))
        shorter = st.integers(0, len(value)).map(lambda kept: array.array('B', bytes(value)[:kept]))
        return longer | shorter
    return UINT32 | st.integers(max(0, value - 2), value + 2)


def _files():
    """Small picture files by name: those that are read, and some of other formats."""
    color = np.random.default_rng(0).integers(0, 256, (11, 13, 3), np.uint8)
    pictures = {
        'color.jpg': (color, []),
        'gray.jpg': (color[..., 0], []),
        'progressive.jpg': (color, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        'restart.jpg': (color, [cv2.IMWRITE_JPEG_RST_INTERVAL, 1]),
        'color.png': (color, []),
        'gray.png': (color[..., 0], []),
        'alpha.png': (np.dstack([color, color[..., 0]]), []),
        'deep.png': (color.astype(np.uint16) * 257, []),
        'other.bmp': (color, []),
        'other.ppm': (color, []),
        'other.tiff': (color, []),
    }
    return {name: bytes(cv2.imencode(name[name.index('.') :], *args)[1]) for name, args in pictures.items()}


FILES = _files()


@st.composite
def compressed_images(draw):
    """sensor_msgs/CompressedImage: a picture file that is cut, overwritten or replaced, or sound."""
    file = bytearray(draw(st.sampled_from(list(FILES.values()))))
    damage = draw(st.sampled_from(['none', 'cut', 'overwritten', 'noise', 'noise behind the first bytes']))
    if damage == 'cut':
        file = file[: draw(st.integers(0, len(file)))]
    elif damage == 'overwritten':
        for at in draw(st.lists(st.integers(0, len(file) - 1), min_size=1, max_size=8)):
            file[at] = draw(st.integers(0, 255))
    elif damage != 'none':
        file = file[: 16 if 'behind' in damage else 0] + draw(st.binary(max_size=200))
    msg = CompressedImage(format=draw(TEXT | st.sampled_from(['jpeg', 'png', 'rgb8; jpeg compressed bgr8'])))
    msg.data = array.array('B', bytes(file))
    return msg


@st.composite
def camera_infos(draw):
    """sensor_msgs/CameraInfo for 640x480 with up to three of its fields broken."""
    k = [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]
    p = [510.0, 0.0, 321.0, 0.0, 0.0, 510.0, 241.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    msg = CameraInfo(width=640, height=480, k=k, p=p)
    names = ['width', 'height', 'd', 'k', 'p', 'binning_x', 'binning_y', 'roi', 'distortion_model']
    for name in draw(st.sets(st.sampled_from(names), max_size=3)):
        _break_camera_info_field(draw, msg, name)
    return msg


def _break_camera_info_field(draw, msg, name):
    if name == 'roi':
        for side in draw(st.sets(st.sampled_from(['x_offset', 'y_offset', 'width', 'height']), min_size=1)):
            setattr(msg.roi, side, draw(UINT32))
    elif name in ('k', 'p'):
        values = list(getattr(msg, name))
        for at in draw(st.sets(st.integers(0, 8), min_size=1)):
            values[at] = draw(NUMBER)
        setattr(msg, name, values)
    elif name == 'd':
        msg.d = draw(st.lists(NUMBER, max_size=14))
    elif name == 'distortion_model':
        msg.distortion_model = draw(TEXT)
    else:
        setattr(msg, name, draw(UINT32))

# SPDX-License-Identifier: Apache-2.0
"""ElasticFusion's log, byte by byte and as ElasticFusion reads it."""

import struct
import zlib
from contextlib import closing

import cv2
import numpy as np
import pytest

from mtperception.sequences.klg import KlgWriter
from mtperception.sequences.writer import SequenceFrame, WriterOptions


def read_klg(path, width, height):
    """Every frame as (stamp, depth, rgb).

    As github.com/mp3guy/ElasticFusion (e3b1a7e) reads it without the option -f: Tools/RawLogReader.cpp, getCore, and
    Tools/JPEGLoader.h, which stores the three channels of a JPEG file in reverse, as OpenCV's decoder does.
    """
    data, pixels, frames = path.read_bytes(), width * height, []
    (count,), place = struct.unpack_from('<i', data), 4
    for _ in range(count):
        stamp, depth_size, image_size = struct.unpack_from('<qii', data, place)
        start, place = place + 16, place + 16 + depth_size + image_size
        assert depth_size <= 2 * pixels, 'the buffer of the depth data has this size'
        assert 0 < image_size <= 3 * pixels, 'the buffer of the image data has this size'
        depth, image = data[start : start + depth_size], data[start + depth_size : place]
        if depth_size != 2 * pixels:
            depth = zlib.decompress(depth)
        rgb = np.frombuffer(image, np.uint8)
        rgb = cv2.imdecode(rgb, cv2.IMREAD_COLOR) if image_size != 3 * pixels else rgb.reshape(height, width, 3)
        frames.append((stamp, np.frombuffer(depth, '<u2').reshape(height, width), rgb))
    assert place == len(data)
    return frames


def write(path, frames, **options):
    with closing(KlgWriter(path, WriterOptions(**options))) as writer:
        for frame in frames:
            writer.write(frame)
    return path


TINY = [
    SequenceFrame(np.array([[[1, 2, 3], [250, 0, 9]]], np.uint8), np.array([[1.0, 0.0]], np.float32), 1_500_000_999),
    SequenceFrame(np.array([[[4, 5, 6], [7, 8, 255]]], np.uint8), np.array([[65.535, 70.0]], np.float32), 2 * 10**15),
]
GOLDEN = bytes.fromhex(
    '02000000'  # two frames
    '60e3160000000000'  # 1.5 s: 1,500,000 = 0x16e360 microseconds
    '04000000 06000000'  # bytes of depth, bytes of the image
    'e803 0000'  # 1000 mm = 0x03e8, invalid
    '010203 fa0009'
    '00204aa9d1010000'  # 2 million s: 2 * 10**12 = 0x1d1a94a2000 microseconds
    '04000000 06000000'
    'ffff 0000'  # 65,535 mm; 70 m are too far for 16 bits
    '040506 0708ff'
)


@pytest.mark.parametrize('depth_compression', ['none', 'zlib'])
@pytest.mark.parametrize('image_compression', ['none', 'jpeg'])
def test_the_bytes_of_a_tiny_log(tmp_path, depth_compression, image_compression):
    """Two pixels get larger by compression; a reader would take them for raw ones, so they are stored raw."""
    path = write(tmp_path / 'x.klg', TINY, depth_compression=depth_compression, image_compression=image_compression)
    assert path.read_bytes() == GOLDEN


def scene(width=64, height=48):
    """Red at the left, blue at the right; depth that grows downwards, without any in the first row."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, : width // 2] = (220, 30, 40)
    image[:, width // 2 :] = (20, 60, 200)
    depth = np.repeat(np.linspace(0.5, 5, height, dtype=np.float32)[:, None], width, axis=1)
    depth[0] = 0
    return SequenceFrame(image, depth, 10**9)


@pytest.mark.parametrize('depth_compression', ['none', 'zlib'])
@pytest.mark.parametrize(('image_compression', 'difference'), [('none', 0), ('jpeg', 2.0)])
def test_elasticfusion_gets_the_frames(tmp_path, depth_compression, image_compression, difference):
    options = {'depth_compression': depth_compression, 'image_compression': image_compression}
    frames = read_klg(write(tmp_path / 'x.klg', [scene()] * 3, **options), 64, 48)
    assert [stamp for stamp, _, _ in frames] == [10**6] * 3
    for _, depth, rgb in frames:
        np.testing.assert_array_equal(depth, np.rint(scene().depth * 1000))
        assert not depth[0].any()
        assert np.abs(rgb.astype(int) - scene().image).mean() <= difference


def test_compression_makes_it_smaller(tmp_path):
    raw = write(tmp_path / 'raw', [scene()], depth_compression='none', image_compression='none').stat().st_size
    assert raw == 4 + 16 + 64 * 48 * 5
    assert write(tmp_path / 'compressed', [scene()]).stat().st_size < raw / 5


def test_noise_is_stored_raw(tmp_path):
    """Of noise, zlib makes more bytes than there were: ElasticFusion's buffer has no room for them."""
    depth = np.random.default_rng(0).integers(1, 65536, (48, 64)) / np.float32(1000)
    frame = SequenceFrame(scene().image, depth.astype(np.float32), 0)
    read = read_klg(write(tmp_path / 'x.klg', [frame]), 64, 48)
    np.testing.assert_array_equal(read[0][1], np.rint(frame.depth * 1000))


@pytest.mark.parametrize('options', [{'depth_compression': 'gzip'}, {'image_compression': 'png'}])
def test_unknown_compressions(tmp_path, options):
    with pytest.raises(ValueError, match=r"unknown compression '(gzip|png)': expected one of (zlib|jpeg), none"):
        KlgWriter(tmp_path / 'x.klg', WriterOptions(**options))

# SPDX-License-Identifier: Apache-2.0
"""The folder of the TUM benchmark, as its readers read it."""

from contextlib import closing

import cv2
import numpy as np
import pytest

from mtperception.sequences.tum import TumWriter
from mtperception.sequences.writer import SequenceFrame, WriterOptions


def load_images(path):
    """Pairs of (stamp, colour file, depth file).

    As github.com/raulmur/ORB_SLAM2 (f2e6f51), Examples/RGB-D/rgbd_tum.cc, LoadImages: no line is a comment.
    """
    pairs = []
    for line in path.read_text(encoding='utf-8').split('\n'):
        if line:
            stamp, rgb, depth_stamp, depth = line.split()
            assert float(stamp) == float(depth_stamp)
            pairs.append((float(stamp), rgb, depth))
    return pairs


def read_file_list(path):
    """Files by stamp, as associate.py of the benchmark's tools (cvg.cit.tum.de/data/datasets/rgbd-dataset/tools)."""
    lines = path.read_text(encoding='utf-8').replace(',', ' ').replace('\t', ' ').split('\n')
    rows = [line.split() for line in lines if line and line[0] != '#']
    return {float(row[0]): row[1:] for row in rows if len(row) > 1}


def write(folder, frames):
    folder.mkdir()
    with closing(TumWriter(folder, WriterOptions())) as writer:
        for frame in frames:
            writer.write(frame)
    return folder


def frames(width=3, height=2):
    """Two frames; the fraction of the second stamp begins with zeros."""
    image = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    depth = np.full((height, width), 2, np.float32)
    depth[0, :3] = 0, 13.107, 13.2
    return [
        SequenceFrame(image, depth, 1_305_031_102_175_304_999),
        SequenceFrame(image + 9, depth / 2, 1_305_031_103_008_604_000),
    ]


ASSOCIATIONS = (
    b'1305031102.175304 rgb/000000.png 1305031102.175304 depth/000000.png\n'
    b'1305031103.008604 rgb/000001.png 1305031103.008604 depth/000001.png\n'
)
RGB = b'# color images\n# timestamp filename\n1305031102.175304 rgb/000000.png\n1305031103.008604 rgb/000001.png\n'
DEPTH = b'# depth maps\n# timestamp filename\n1305031102.175304 depth/000000.png\n1305031103.008604 depth/000001.png\n'


def test_the_lists(tmp_path):
    folder = write(tmp_path / 'out', frames())
    assert (folder / 'associations.txt').read_bytes() == ASSOCIATIONS
    assert (folder / 'rgb.txt').read_bytes() == RGB
    assert (folder / 'depth.txt').read_bytes() == DEPTH
    assert {path.name for path in folder.iterdir()} == {*TumWriter.entries} - {'groundtruth.txt'}  # no poses are known


def test_orb_slam_gets_the_frames(tmp_path):
    folder = write(tmp_path / 'out', frames())
    pairs = load_images(folder / 'associations.txt')
    assert [stamp for stamp, _, _ in pairs] == pytest.approx([1305031102.175304, 1305031103.008604], abs=1e-6)
    for (_, rgb, depth), frame in zip(pairs, frames(), strict=True):
        image = cv2.imread(str(folder / rgb), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(image[..., ::-1], frame.image)
        assert cv2.imread(str(folder / depth), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    first = cv2.imread(str(folder / pairs[0][2]), cv2.IMREAD_UNCHANGED)
    # 5000 to the metre: 13.107 m are 65,535, the last that 16 bits hold; 13.2 m are left out, 2 m are 10,000
    assert first.tolist() == [[0, 65535, 0], [10000, 10000, 10000]]


def test_the_benchmarks_tools_associate_all_frames(tmp_path):
    folder = write(tmp_path / 'out', frames())
    rgb, depth = read_file_list(folder / 'rgb.txt'), read_file_list(folder / 'depth.txt')
    assert list(rgb) == list(depth)
    assert list(rgb.values()) == [['rgb/000000.png'], ['rgb/000001.png']]

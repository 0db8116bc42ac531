# SPDX-License-Identifier: Apache-2.0
"""SemanticFusion's list of image files, as its reader reads it."""

from contextlib import closing
from zipfile import ZipFile

import cv2
import numpy as np

from mtperception.sequences.semanticfusion import SemanticFusionWriter
from mtperception.sequences.writer import SequenceFrame, WriterOptions


def read_log(path):
    """Every frame as (stamp, rgb, depth, ids).

    As github.com/seaun163/semanticfusion (9f28c8f), src/utilities/PNGLogReader.cpp: five words for each frame, paths
    from the folder of the list on, ids with the list's name without its last four letters before them.
    """
    base, scene = str(path).rsplit('/', 1)
    scene = scene[:-4]
    words = iter(path.read_text(encoding='utf-8').split())
    frames = []
    for stamp, depth_path, rgb_path, depth_id, rgb_id in zip(*[words] * 5, strict=True):
        rgb = cv2.cvtColor(cv2.imread(f'{base}/{rgb_path}', cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        depth = cv2.imread(f'{base}/{depth_path}', cv2.IMREAD_ANYDEPTH)
        filled = f'{base}/{depth_path}'[:-9] + 'depthfilled.png'  # looked for beside the depth
        assert cv2.imread(filled, cv2.IMREAD_ANYDEPTH) is None
        assert depth.dtype == np.uint16
        frames.append((int(stamp), rgb, depth, (f'{scene}/{depth_id}', f'{scene}/{rgb_id}')))
    return frames


def write(folder, frames):
    folder.mkdir()
    with closing(SemanticFusionWriter(folder, WriterOptions())) as writer:
        for frame in frames:
            writer.write(frame)
    return folder


PROBABILITIES = np.array([[[0.25, 1.0]], [[0.75, 0.0]]], np.float16)
IMAGE = np.array([[[1, 2, 3], [250, 0, 9]]], np.uint8)
FRAMES = [
    SequenceFrame(IMAGE, np.array([[1.0, 0.0]], np.float32), 1_295_406_963_667_999_999, probabilities=PROBABILITIES),
    SequenceFrame(
        IMAGE[:, ::-1], np.array([[65.535, 70.0]], np.float32), 1_295_406_963_699_000_000, None, PROBABILITIES
    ),
]
LIST = (
    b'1295406963667 frames/000000_depth.png frames/000000_rgb.png 000000_depth.png 000000_rgb.png\n'
    b'1295406963699 frames/000001_depth.png frames/000001_rgb.png 000001_depth.png 000001_rgb.png\n'
)


def test_the_list(tmp_path):
    assert (write(tmp_path / 'out', FRAMES) / 'sequence.txt').read_bytes() == LIST


def test_semanticfusion_gets_the_frames(tmp_path):
    read = read_log(write(tmp_path / 'out', FRAMES) / 'sequence.txt')
    assert [stamp for stamp, *_ in read] == [1295406963667, 1295406963699]
    assert [depth.tolist() for _, _, depth, _ in read] == [[[1000, 0]], [[65535, 0]]]
    np.testing.assert_array_equal([rgb for _, rgb, _, _ in read], [IMAGE, IMAGE[:, ::-1]])
    assert len({ids for *_, ids in read}) == 2


def test_probabilities_on_demand(tmp_path):
    folder = write(tmp_path / 'with', FRAMES)
    assert sorted(path.name for path in (folder / 'probabilities').iterdir()) == ['000000.npz', '000001.npz']
    with ZipFile(folder / 'probabilities' / '000000.npz') as archive:
        assert archive.namelist() == ['probabilities.npy']
        content = archive.read('probabilities.npy')
    # NumPy's header, padded to 128 bytes, then halves: 0.25 = 0x3400, 1 = 0x3c00, 0.75 = 0x3a00, 0
    assert content[:8] == b'\x93NUMPY\x01\x00'
    assert b"'descr': '<f2', 'fortran_order': False, 'shape': (2, 1, 2)" in content[:128]
    assert content[128:] == bytes.fromhex('0034 003c 003a 0000')
    without = write(tmp_path / 'without', [SequenceFrame(IMAGE, FRAMES[0].depth, 0)])
    assert sorted(path.name for path in without.iterdir()) == ['frames', 'sequence.txt']

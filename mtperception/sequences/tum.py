# SPDX-License-Identifier: Apache-2.0
"""A folder like those of the TUM RGB-D benchmark (Sturm et al., IROS 2012), which most RGB-D SLAM systems read.

rgb/000000.png      8-bit RGB
depth/000000.png    16 bits, 5000 to the metre, 0 = invalid: up to 13.107 m
rgb.txt, depth.txt  stamp in seconds and file, after comments
associations.txt    stamp and colour file, stamp and depth file; no comments, which ORB-SLAM's reader does not know
groundtruth.txt     where poses are known: stamp, position in metres and quaternion x y z w of the camera, whose axes
                    are the optical ones, in the world
"""

from pathlib import Path
from typing import ClassVar

import numpy as np

from mtperception.geometry import depth_in_units
from mtperception.media import write_image
from mtperception.sequences.writer import SequenceFrame, WriterOptions

PER_METER = 5000
RGB, DEPTH = 'rgb', 'depth'
POSES = 'groundtruth.txt'
POSE_COMMENTS = '# ground truth trajectory\n# timestamp tx ty tz qx qy qz qw\n'
COMMENTS = {RGB: '# color images\n# timestamp filename\n', DEPTH: '# depth maps\n# timestamp filename\n'}


class TumWriter:
    """Writes such a folder. Implements `SequenceWriter`."""

    entries: ClassVar[tuple[str, ...]] = (RGB, DEPTH, 'rgb.txt', 'depth.txt', 'associations.txt', POSES)
    size: ClassVar[tuple[int, int] | None] = None

    def __init__(self, path: Path, options: WriterOptions) -> None:
        self._folder = path
        self._stamps: list[str] = []
        self._poses: list[str] = []
        for name in (RGB, DEPTH):
            (path / name).mkdir()

    def write(self, frame: SequenceFrame) -> None:
        """Append a frame; stamps are cut to whole microseconds."""
        index = len(self._stamps)
        write_image(self._folder / _file(RGB, index), frame.image)
        write_image(self._folder / _file(DEPTH, index), depth_in_units(frame.depth, PER_METER))
        seconds, nanoseconds = divmod(frame.stamp_ns, 10**9)
        self._stamps.append(f'{seconds}.{nanoseconds // 1000:06d}')
        if frame.T_world_camera is not None:
            self._poses.append(f'{self._stamps[-1]} {_pose(frame.T_world_camera)}\n')

    def close(self) -> None:
        """Write the lists."""
        stamps = list(enumerate(self._stamps))
        for name in (RGB, DEPTH):
            lines = [f'{stamp} {_file(name, index)}\n' for index, stamp in stamps]
            _write(self._folder / f'{name}.txt', COMMENTS[name] + ''.join(lines))
        pairs = [f'{stamp} {_file(RGB, index)} {stamp} {_file(DEPTH, index)}\n' for index, stamp in stamps]
        _write(self._folder / 'associations.txt', ''.join(pairs))
        if self._poses:
            _write(
                self._folder / POSES,
                ''.join([POSE_COMMENTS, *self._poses]),
            )


def _file(kind: str, index: int) -> str:
    return f'{kind}/{index:06d}.png'


def _pose(T_world_camera: np.ndarray) -> str:
    from scipy.spatial.transform import Rotation

    quaternion = Rotation.from_matrix(T_world_camera[:3, :3]).as_quat()
    return ' '.join(f'{value:.9f}' for value in (*T_world_camera[:3, 3], *quaternion))


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding='utf-8')

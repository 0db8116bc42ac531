# SPDX-License-Identifier: Apache-2.0
"""Camera poses that come in files of their own."""

from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np

from mtperception.errors import InputError, SourceError
from mtperception.recording.transform_tree import Trajectory

COLUMNS = 8
"""Columns of a line: stamp in seconds, position, quaternion."""


class PoseFile:
    """Poses in the format of the TUM RGB-D benchmark: lines of `stamp x y z qx qy qz qw`, `#` begins a comment.

    Args:
        path: the file. Stamps are in seconds, positions in metres; the pose is that of the camera's optical frame.
        tolerance: seconds between a stamp and the nearest pose where none can be interpolated.

    Raises:
        SourceError: if it cannot be read, or a line is not as expected.
    """

    def __init__(self, path: Path, tolerance: float) -> None:
        stamps, poses = _read(path.expanduser())
        self._path, self._tolerance_ns = path, round(tolerance * 1e9)
        self._stamps = np.sort(np.array(stamps, np.int64))
        self._trajectory = Trajectory(stamps, np.array(poses))

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """`T_world_camera`, float64 4,4: interpolated, else the nearest within the tolerance; None without either."""
        return self._trajectory.near(stamp_ns, self._tolerance_ns)

    @property
    def description(self) -> str:
        """How many poses there are, and of when."""
        first, last = self._stamps[0] / 1e9, self._stamps[-1] / 1e9
        return f'{self._path}: {len(self._stamps)} poses from {first:.3f} to {last:.3f} s'


def _read(path: Path) -> tuple[list[int], list[np.ndarray]]:
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f'{path}: not readable as poses: {error}') from error
    stamps, poses = [], []
    for number, line in enumerate(lines, 1):
        values = line.split('#')[0].replace(',', ' ').split()
        if values:
            stamp_ns, pose = _parsed(path, number, values)
            stamps.append(stamp_ns)
            poses.append(pose)
    if not poses:
        raise SourceError(f'{path}: no poses: expected lines of stamp x y z qx qy qz qw')
    return stamps, poses


def nanoseconds(text: str) -> int:
    """Nanoseconds of a number of seconds, without the rounding of a float.

    Raises:
        ValueError: if it is none from 0 to below 2**63 nanoseconds.
    """
    try:
        seconds = Decimal(text)
    except InvalidOperation as error:
        raise InputError(f'{text}: expected a number of seconds') from error
    if '_' in text or not seconds.is_finite() or not 0 <= seconds < Decimal(2**63) / 10**9:
        raise InputError(f'{text}: expected seconds; are these nanoseconds?')
    return round(seconds * 10**9)


def _parsed(path: Path, number: int, values: list[str]) -> tuple[int, np.ndarray]:
    try:
        stamp_ns = nanoseconds(values[0])
        pose = np.array([float(value) for value in values[1:]])
    except InputError as error:
        raise SourceError(f'{path}, line {number}: stamp {error}') from error
    except ValueError as error:
        raise SourceError(f'{path}, line {number}: not numbers: expected stamp x y z qx qy qz qw') from error
    if len(values) != COLUMNS or not np.isfinite(pose).all() or not pose[3:].any():
        raise SourceError(
            f'{path}, line {number}: found {" ".join(values)}: expected stamp x y z qx qy qz qw, a quaternion not 0'
        )
    return stamp_ns, pose

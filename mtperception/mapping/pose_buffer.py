# SPDX-License-Identifier: Apache-2.0
"""The newest poses of a stream."""

from bisect import bisect_left
from collections import deque

import numpy as np

from mtperception.recording.transform_tree import Trajectory, is_pose

KEPT = 1000
"""Poses."""
LARGEST_STEP_BACK_NS = 1_000_000_000
"""That stamps may go back by; after a larger step the clock was set back."""


class PoseBuffer:
    """Poses of the last seconds, by stamp.

    Args:
        tolerance: seconds between a stamp and the nearest pose where none can be interpolated.
    """

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self._stamps: deque[int] = deque()
        self._poses: deque[np.ndarray] = deque()

    @property
    def newest_ns(self) -> int | None:
        """The newest stamp; None without any."""
        return self._stamps[-1] if self._stamps else None

    def add(self, stamp_ns: int, pose: np.ndarray) -> None:
        """Add a pose: float64 7, x y z in metres and a quaternion x y z w. After a jump back in time the old ones go.

        A pose may come somewhat late, after newer ones. What is no pose (`is_pose`) is passed over.
        """
        if not is_pose(pose):
            return
        if self._stamps and stamp_ns < self._stamps[-1] - LARGEST_STEP_BACK_NS:
            self._stamps.clear()
            self._poses.clear()
        place = bisect_left(self._stamps, stamp_ns)
        if len(self._stamps) == KEPT:
            self._stamps.popleft()
            self._poses.popleft()
            place = max(place - 1, 0)
        self._stamps.insert(place, stamp_ns)
        self._poses.insert(place, pose)

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """The pose at a time, float64 4,4: interpolated, else the nearest within the tolerance; else None."""
        if not self._stamps:
            return None
        after = bisect_left(self._stamps, stamp_ns)
        near = range(max(after - 1, 0), min(after + 1, len(self._stamps)))
        trajectory = Trajectory([self._stamps[i] for i in near], np.array([self._poses[i] for i in near]))
        return trajectory.near(stamp_ns, round(self.tolerance * 1e9))

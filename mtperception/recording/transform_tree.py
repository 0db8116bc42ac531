"""Poses over time and the tree of coordinate frames, as tf2 keeps them.

`T_a_b` is a float64 4,4 that turns coordinates in frame b into those in frame a.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

LONGEST_GAP = 1_000_000_000
"""Nanoseconds: between two poses that are further apart than this, none is interpolated."""


class Trajectory:
    """Poses by time.

    Args:
        stamps: int N, nanoseconds, in any order.
        poses: float64 N,7: x y z in metres and a quaternion x y z w, in the same order.
    """

    def __init__(self, stamps: Sequence[int], poses: np.ndarray) -> None:
        order = np.argsort(np.asarray(stamps, np.int64), kind='stable')
        self._stamps = np.asarray(stamps, np.int64)[order]
        self._poses = np.asarray(poses, np.float64).reshape(-1, 7)[order]

    def at(self, stamp_ns: int) -> np.ndarray | None:
        """The pose at a time, interpolated; None outside of the recorded time and in gaps over `LONGEST_GAP`."""
        after = int(np.searchsorted(self._stamps, stamp_ns))
        if after < len(self._stamps) and self._stamps[after] == stamp_ns:
            return pose_matrix(self._poses[after])
        if not 0 < after < len(self._stamps):
            return None
        start, end = self._stamps[after - 1], self._stamps[after]
        if end - start > LONGEST_GAP:
            return None
        return pose_matrix(_between(*self._poses[after - 1 : after + 1], (stamp_ns - start) / (end - start)))


class TransformTree:
    """Coordinate frames, each of which has one parent."""

    def __init__(self) -> None:
        self._static: dict[str, tuple[str, np.ndarray]] = {}
        self._moving: dict[str, tuple[str, list[int], list[np.ndarray]]] = {}
        self._trajectories: dict[str, Trajectory] = {}

    def add(self, message: Any, *, static: bool) -> None:
        """Add what a tf2_msgs/TFMessage says; of a static transform the newest counts."""
        for entry in message.transforms:
            parent, child = frame_name(entry.header.frame_id), frame_name(entry.child_frame_id)
            t, q = entry.transform.translation, entry.transform.rotation
            pose = np.array([t.x, t.y, t.z, q.x, q.y, q.z, q.w])
            if static:
                self._static[child] = (parent, pose_matrix(pose))
                continue
            _, stamps, poses = self._moving.setdefault(child, (parent, [], []))
            stamps.append(entry.header.stamp.sec * 10**9 + entry.header.stamp.nanosec)
            poses.append(pose)

    def root(self, frame: str) -> str:
        """The frame that a frame moves in, in the end; the frame itself if nothing is known of it."""
        return self._ancestors(frame_name(frame))[-1]

    def moves(self, frame: str) -> bool:
        """Whether a frame moves in its root."""
        return any(name in self._moving for name in self._ancestors(frame_name(frame)))

    def find(self, target: str, source: str, stamp_ns: int | None) -> np.ndarray | None:
        """`T_target_source` at a time; None if the frames are not connected, or not at that time.

        Args:
            target: name of a frame.
            source: name of a frame.
            stamp_ns: nanoseconds; None to regard static transforms only.
        """
        target, source = frame_name(target), frame_name(source)
        above = self._ancestors(source)
        common = next((frame for frame in self._ancestors(target) if frame in above), None)
        if common is None:
            return None
        up, down = self._to_ancestor(source, common, stamp_ns), self._to_ancestor(target, common, stamp_ns)
        return None if up is None or down is None else np.linalg.inv(down) @ up

    def _ancestors(self, frame: str) -> list[str]:
        """The frame, its parent, and so on; a loop, which no valid tree has, ends the list."""
        chain = [frame]
        while (parent := self._parent(chain[-1])) is not None and parent not in chain:
            chain.append(parent)
        return chain

    def _parent(self, frame: str) -> str | None:
        edge = self._static.get(frame) or self._moving.get(frame)
        return edge[0] if edge else None

    def _to_ancestor(self, frame: str, ancestor: str, stamp_ns: int | None) -> np.ndarray | None:
        T_ancestor_frame = np.eye(4)
        while frame != ancestor:
            T_parent_frame = self._edge(frame, stamp_ns)
            if T_parent_frame is None:
                return None
            T_ancestor_frame = T_parent_frame @ T_ancestor_frame
            frame = self._parent(frame)
        return T_ancestor_frame

    def _edge(self, frame: str, stamp_ns: int | None) -> np.ndarray | None:
        if frame in self._static:
            return self._static[frame][1]
        if stamp_ns is None:
            return None
        if frame not in self._trajectories:
            _, stamps, poses = self._moving[frame]
            self._trajectories[frame] = Trajectory(stamps, np.array(poses))
        return self._trajectories[frame].at(stamp_ns)


def frame_name(frame: str) -> str:
    """A frame's name without the slash that ROS 1 put before it."""
    return frame.removeprefix('/')


def pose_matrix(pose: np.ndarray) -> np.ndarray:
    """float64 4,4 of a pose: x y z and a quaternion x y z w, normalised here; a quaternion of zeros turns nothing."""
    x, y, z, w = pose[3:] / (np.linalg.norm(pose[3:]) or 1.0)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = pose[:3]
    return matrix


def _between(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """A pose on the way from one to another: positions linearly, quaternions along the great circle (slerp)."""
    first, second = start[3:], end[3:]
    if first @ second < 0:  # q and -q are the same rotation; the near one is the short way
        second = -second
    angle = np.arccos(min(1.0, float(first @ second)))
    if angle < 1e-6:
        turned = first + share * (second - first)
    else:
        turned = (np.sin((1 - share) * angle) * first + np.sin(share * angle) * second) / np.sin(angle)
    return np.concatenate([start[:3] + share * (end[:3] - start[:3]), turned])

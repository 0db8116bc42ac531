# SPDX-License-Identifier: Apache-2.0
"""Poses over time and the tree of coordinate frames, as tf2 keeps them.

`T_a_b` is a float64 4,4 that turns coordinates in frame b into those in frame a.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from mtperception.messages.names import frame_name
from mtperception.messages.stamps import stamp_of

if TYPE_CHECKING:
    from scipy.spatial.transform import Rotation

LONGEST_GAP = 1_000_000_000
"""Nanoseconds: between two poses that are further apart than this, none is interpolated."""
AT_REST = 1e-6
"""Metres, and parts of a unit quaternion: what differs by less does not move."""
WORLD_FRAMES = ('earth', 'map', 'odom', 'world')
"""Of REP 105: what is at rest in them stands still; what is at rest in another frame is fixed to that."""


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

    @property
    def end_ns(self) -> int:
        """The newest stamp."""
        return int(self._stamps[-1])

    @cached_property
    def at_rest(self) -> np.ndarray | None:
        """The pose, float64 4,4, if it never changes; else None."""
        first = self._poses[0]
        turned = np.abs(self._poses[:, 3:] @ first[3:]) / np.maximum(self._norms * self._norms[0], 1e-12)
        still = np.abs(self._poses[:, :3] - first[:3]).max() <= AT_REST
        return pose_matrix(first) if still and (1 - turned.min() <= AT_REST or not self._norms.any()) else None

    @cached_property
    def _norms(self) -> np.ndarray:
        return np.linalg.norm(self._poses[:, 3:], axis=1)

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
        return _between(*self._poses[after - 1 : after + 1], (stamp_ns - start) / (end - start))

    def near(self, stamp_ns: int, tolerance_ns: int) -> np.ndarray | None:
        """The pose at a time, as `at`, else the nearest within a tolerance, float64 4,4; None without either."""
        pose = self.at(stamp_ns)
        if pose is not None:
            return pose
        nearest = int(self._stamps[np.abs(self._stamps - stamp_ns).argmin()])
        return self.at(nearest) if abs(nearest - stamp_ns) <= tolerance_ns else None


@dataclass
class _Moving:
    """What the messages say of a frame that may move, for one of its parents."""

    stamps: list[int] = field(default_factory=list)
    poses: list[np.ndarray] = field(default_factory=list)

    @cached_property
    def trajectory(self) -> Trajectory:
        return Trajectory(self.stamps, np.array(self.poses))


class TransformTree:
    """Coordinate frames, each of which has one parent at a time."""

    def __init__(self) -> None:
        self._static: dict[str, tuple[str, np.ndarray]] = {}
        self._moving: dict[str, dict[str, _Moving]] = {}
        """By frame, then by parent."""

    def add(self, message: Any, *, static: bool) -> None:
        """Add what a tf2_msgs/TFMessage says; of a static transform the newest counts."""
        for entry in message.transforms:
            parent, child = frame_name(entry.header.frame_id), frame_name(entry.child_frame_id)
            t, q = entry.transform.translation, entry.transform.rotation
            pose = np.array([t.x, t.y, t.z, q.x, q.y, q.z, q.w])
            if not is_pose(pose):  # which tf2 takes no notice of, either
                continue
            if static:
                self._static[child] = (parent, pose_matrix(pose))
                continue
            moving = self._moving.setdefault(child, {}).setdefault(parent, _Moving())
            moving.stamps.append(stamp_of(entry))
            moving.poses.append(pose)

    @property
    def frames(self) -> set[str]:
        """Names of the frames that have a parent."""
        return {*self._static, *self._moving}

    def take(self, other: 'TransformTree') -> None:
        """Take over what another tree knows of frames that have no parent here."""
        for child in other.frames - self.frames:
            if child in other._static:
                self._static[child] = other._static[child]
            if child in other._moving:
                self._moving[child] = other._moving[child]

    def extend(self, other: 'TransformTree') -> None:
        """Add all that another tree of the same robot knows."""
        self._static |= other._static
        for child, parents in other._moving.items():
            for parent, moving in parents.items():
                own = self._moving.setdefault(child, {}).setdefault(parent, _Moving())
                own.stamps += moving.stamps
                own.poses += moving.poses

    def root(self, frame: str) -> str:
        """The frame that a frame moves in, in the end; the frame itself if nothing is known of it."""
        return self._newest_chain(frame_name(frame))[-1]

    def moves(self, frame: str) -> bool:
        """Whether it is known how a frame moves in its root, standing still in the world included."""
        chain = self._newest_chain(frame_name(frame))
        moving = [name for name in chain if name in self._moving and name not in self._static]
        if any(len(self._moving[name]) > 1 or self._at_rest(name) is None for name in moving):
            return True
        return bool(moving) and chain[-1].rpartition('/')[2] in WORLD_FRAMES

    def find(self, target: str, source: str, stamp_ns: int | None) -> np.ndarray | None:
        """`T_target_source` at a time; None if the frames are not connected, or not at that time.

        Args:
            target: name of a frame.
            source: name of a frame.
            stamp_ns: nanoseconds; None to regard only transforms that never change, be they static or not.
        """
        target, source = frame_name(target), frame_name(source)
        above_source, above_target = self._path(source, stamp_ns), self._path(target, stamp_ns)
        common = next((frame for frame in above_target if frame in above_source), None)
        if common is None:
            return None
        return np.linalg.inv(above_target[common]) @ above_source[common]

    def _path(self, frame: str, stamp_ns: int | None) -> dict[str, np.ndarray]:
        """`T_ancestor_frame` by ancestor, the frame itself first; a loop, which no valid tree has, ends it."""
        path = {frame: np.eye(4)}
        while (edge := self._edge(frame, stamp_ns)) is not None and edge[0] not in path:
            parent, T_parent_frame = edge
            path[parent] = T_parent_frame @ path[frame]
            frame = parent
        return path

    def _edge(self, frame: str, stamp_ns: int | None) -> tuple[str, np.ndarray] | None:
        """Parent and pose of a frame at a time. Of several parents the newest one that has a pose then holds."""
        if frame in self._static:
            return self._static[frame]
        for parent in self._parents(frame):
            trajectory = self._moving[frame][parent].trajectory
            pose = self._at_rest(frame) if stamp_ns is None else trajectory.at(stamp_ns)
            if pose is not None:
                return parent, pose
        return None

    def _at_rest(self, frame: str) -> np.ndarray | None:
        """The pose of a frame that never changes in the only parent that it ever has."""
        parents = self._moving.get(frame, {})
        return next(iter(parents.values())).trajectory.at_rest if len(parents) == 1 else None

    def _parents(self, frame: str) -> list[str]:
        """Parents of a frame that may move, newest first."""
        parents = self._moving.get(frame, {})
        return sorted(parents, key=lambda parent: parents[parent].trajectory.end_ns, reverse=True)

    def _newest_chain(self, frame: str) -> list[str]:
        """The frame, its newest parent, and so on."""
        chain = [frame]
        while (parent := self._newest_parent(chain[-1])) is not None and parent not in chain:
            chain.append(parent)
        return chain

    def _newest_parent(self, frame: str) -> str | None:
        return self._static[frame][0] if frame in self._static else next(iter(self._parents(frame)), None)


def is_pose(values: np.ndarray) -> bool:
    """Whether x y z and a quaternion x y z w are a pose, finite and with a rotation: lost trackers send zeros."""
    return bool(np.isfinite(values).all() and values[3:].any())


def pose_matrix(pose: np.ndarray) -> np.ndarray:
    """float64 4,4 of a pose: x y z and a quaternion x y z w, normalised here; a quaternion of zeros turns nothing."""
    matrix = np.eye(4)
    matrix[:3, :3] = _rotation(pose[3:]).as_matrix()
    matrix[:3, 3] = pose[:3]
    return matrix


def _between(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """float64 4,4: a pose on the way from one to another, positions linearly, rotations the short way (slerp)."""
    from scipy.spatial.transform import Rotation, Slerp

    matrix = np.eye(4)
    rotations = Rotation.concatenate([_rotation(start[3:]), _rotation(end[3:])])
    matrix[:3, :3] = Slerp([0, 1], rotations)(share).as_matrix()
    matrix[:3, 3] = start[:3] + share * (end[:3] - start[:3])
    return matrix


def _rotation(quaternion: np.ndarray) -> 'Rotation':
    from scipy.spatial.transform import Rotation

    largest = np.abs(quaternion).max()  # whose square would overflow or vanish at 1e200 or 1e-200
    return Rotation.from_quat(quaternion / largest) if largest else Rotation.identity()

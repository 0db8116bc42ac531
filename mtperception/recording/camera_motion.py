# SPDX-License-Identifier: Apache-2.0
"""How the camera of a recording moves, by the best that is known of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mtperception.recording.first_pass import FirstPass
from mtperception.recording.topics import ODOMETRY
from mtperception.recording.transform_tree import Trajectory

Poses = Callable[[int], np.ndarray | None]
"""From a stamp to `T_world_camera`, float64 4,4; None when it is not known."""


@dataclass(frozen=True)
class CameraMotion:
    """Where the camera is."""

    at: Poses
    description: str
    """By what it is known, or why it is not."""
    problem: str = ''
    """What a user should know of missing poses; empty if there is nothing to say."""


def camera_motion(found: FirstPass, image_topic: str, *, pose_asked_for: bool) -> CameraMotion:
    """The motion by odometry, transforms or poses.

    In this order: odometry, whose child frame must be connected to the camera's by transforms that do not move;
    transforms that move the camera's frame; a PoseStamped, which has no child frame and is taken for the pose of the
    camera's optical frame. A pose topic that is asked for goes before the transforms.
    """
    chosen = _chosen(found, image_topic, pose_asked_for=pose_asked_for)
    stamps = found.stamps[image_topic]
    if chosen.problem or not stamps or chosen.at is _nowhere:
        return chosen
    if any(chosen.at(stamp_ns) is not None for stamp_ns in stamps):
        return chosen
    problem = (
        f'camera motion: {chosen.description} gives no pose at the time of any of {len(stamps)} images'
        f'{_apart(stamps, found.pose_stamps)}: figures that need the motion are missing'
    )
    return CameraMotion(_nowhere, f'not known: {chosen.description}, at other times', problem)


def _chosen(found: FirstPass, image_topic: str, *, pose_asked_for: bool) -> CameraMotion:
    frame = found.frames.get(image_topic, '')
    by_pose = _by_pose_topic(found, frame) if found.poses else _unknown('no poses in the bag')
    weak = found.pose_kind != ODOMETRY and not pose_asked_for
    if by_pose.at is not _nowhere and not weak:
        return by_pose
    if found.tree.moves(frame) and not pose_asked_for:
        root = found.tree.root(frame)
        return CameraMotion(
            lambda stamp_ns: found.tree.find(root, frame, stamp_ns), f'transforms from {frame} to {root}'
        )
    return by_pose


def _by_pose_topic(found: FirstPass, frame: str) -> CameraMotion:
    trajectory = Trajectory(found.pose_stamps, np.array(found.poses))
    if found.pose_kind != ODOMETRY:
        return CameraMotion(trajectory.at, 'PoseStamped, used as the pose of the optical frame')
    body = found.pose_frame
    if not body:
        return _unknown('odometry without child_frame_id: expected the name of the moving frame', said=True)
    T_body_camera = found.tree.find(body, frame, None)
    if T_body_camera is None:
        return _unknown(f'odometry of {body!r}, but no static transform from there to {frame!r}', said=True)

    def motion(stamp_ns: int) -> np.ndarray | None:
        T_world_body = trajectory.at(stamp_ns)
        return None if T_world_body is None else T_world_body @ T_body_camera

    return CameraMotion(motion, f'odometry of {body}')


def _nowhere(stamp_ns: int) -> None:
    return None


def _unknown(why: str, *, said: bool = False) -> CameraMotion:
    problem = f'camera motion: {why}: figures that need the motion are missing' if said else ''
    return CameraMotion(_nowhere, f'not known: {why}', problem)


def _apart(stamps: Sequence[int], pose_stamps: Sequence[int]) -> str:
    """How far poses and images are apart in time, where they do not overlap."""
    if not pose_stamps or (min(pose_stamps) <= max(stamps) and min(stamps) <= max(pose_stamps)):
        return ''
    gap = max(min(pose_stamps) - max(stamps), min(stamps) - max(pose_stamps))
    return f', which are {gap / 1e9:.6g} s apart from all poses'

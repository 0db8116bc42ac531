# SPDX-License-Identifier: Apache-2.0
"""A walk around the dining table, for ever."""

import numpy as np

PERIOD = 40.0
"""Seconds for one round."""

_CENTER = np.array([4.15, 2.9])
_RADII = np.array([1.68, 1.45])
_EYE_HEIGHT = 1.45


def pose(seconds: float) -> np.ndarray:
    """Where the camera is at a time: `T_world_camera`, float64 4,4, of the optical frame (x right, y down, z forward).

    It goes round once per `PERIOD`, looks ahead and about itself, and comes back to where and how it started.
    """
    angle = 2 * np.pi * seconds / PERIOD
    x, y = _CENTER + _RADII * [np.cos(angle), np.sin(angle)]
    height = _EYE_HEIGHT + 0.03 * np.sin(24 * angle)
    ahead = np.arctan2(_RADII[1] * np.cos(angle), -_RADII[0] * np.sin(angle))
    yaw = ahead + np.radians(55 + 35 * np.sin(3 * angle))
    pitch = np.radians(-12 + 5 * np.sin(2 * angle))
    return _look((x, y, height), yaw, pitch)


def _look(position: tuple[float, float, float], yaw: float, pitch: float) -> np.ndarray:
    """Pose of a level optical frame that looks along yaw (from east to north) and pitch (upwards), radians."""
    forward = np.array([np.cos(pitch) * np.cos(yaw), np.cos(pitch) * np.sin(yaw), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    T_world_camera = np.eye(4)
    T_world_camera[:3] = np.column_stack([right, np.cross(forward, right), forward, position])
    return T_world_camera

# SPDX-License-Identifier: Apache-2.0
"""How restless predictions are from one frame to the next, with the camera's own motion taken out where it is known."""

from dataclasses import dataclass

import numpy as np

from mtperception.recording.warping import Warp, warp_depth
from mtperception.types import Intrinsics, Prediction


@dataclass(frozen=True)
class View:
    """What was predicted, and from where."""

    prediction: Prediction
    intrinsics: Intrinsics | None
    T_world_camera: np.ndarray | None
    """float64 4,4; None where it is not known."""


@dataclass(frozen=True)
class Flicker:
    """Difference of a frame from the one before; NaN where there is nothing to compare."""

    labels: float
    """Share of the pixels with another class."""
    depth: float
    """Median of |now - before| / before, over the pixels."""
    visible: float = 1.0
    """Share of the pixels that were compared."""


def plain_flicker(previous: Prediction, current: Prediction) -> Flicker:
    """Difference pixel by pixel: of a moving camera, its motion too."""
    labels, depth = np.nan, np.nan
    if previous.shape != current.shape:
        return Flicker(np.nan, np.nan, 0.0)
    if current.labels is not None:
        labels = float(np.mean(previous.labels != current.labels))
    if current.depth is not None:
        depth = _median_change(previous.depth, current.depth)
    return Flicker(labels, depth)


def compensated_flicker(previous: View, current: View) -> Flicker | None:
    """Difference after the previous maps were warped into the current view, where they are visible in it.

    What is warped is the predicted depth, by the relative pose of the camera. An error of the depth's scale so makes a
    parallax that is not there, and counts.

    Returns:
        None if depth, a pose or a camera is missing.
    """
    needed = (previous.prediction.depth, previous.T_world_camera, current.T_world_camera)
    cameras = (previous.intrinsics, current.intrinsics)
    if any(part is None for part in (*needed, *cameras)):
        return None
    T_current_previous = np.linalg.inv(current.T_world_camera) @ previous.T_world_camera
    return _compare(warp_depth(previous.prediction.depth, *cameras, T_current_previous), previous, current)


def _compare(warp: Warp, previous: View, current: View) -> Flicker:
    seen = warp.source >= 0
    if not seen.any():
        return Flicker(np.nan, np.nan, 0.0)
    labels = np.nan
    if current.prediction.labels is not None:
        before = previous.prediction.labels.reshape(-1)[warp.source[seen]]
        labels = float(np.mean(before != current.prediction.labels[seen]))
    depth = _median_change(warp.depth[seen], current.prediction.depth[seen])
    return Flicker(labels, depth, float(seen.mean()))


def _median_change(before: np.ndarray, now: np.ndarray) -> float:
    return float(np.median(np.abs(now - before) / before))

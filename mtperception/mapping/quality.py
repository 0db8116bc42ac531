# SPDX-License-Identifier: Apache-2.0
"""How good a map is: the metrics of `docs/mapping_quality.md`."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from mtperception.geometry import project
from mtperception.labels import IGNORE_INDEX
from mtperception.types import Frame


def surface_scores(found: np.ndarray, truth: np.ndarray, threshold: float) -> dict[str, float]:
    """How near two clouds are to each other (Knapitsch et al., Tanks and Temples, SIGGRAPH 2017, section 5).

    Args:
        found: float32 N,3, metres: of the map.
        truth: float32 M,3.
        threshold: metres.

    Returns:
        `accuracy` and `completeness` (metres, mean distance from found to truth and back), `precision`, `recall` and
        `f_score` at the threshold; all NaN if one is empty.
    """
    if not len(found) or not len(truth):
        return dict.fromkeys(('accuracy', 'completeness', 'precision', 'recall', 'f_score'), float('nan'))
    to_truth, to_found = cKDTree(truth).query(found)[0], cKDTree(found).query(truth)[0]
    precision, recall = float((to_truth <= threshold).mean()), float((to_found <= threshold).mean())
    total = precision + recall
    return {
        'accuracy': float(to_truth.mean()),
        'completeness': float(to_found.mean()),
        'precision': precision,
        'recall': recall,
        'f_score': 2 * precision * recall / total if total else 0.0,
    }


def label_changes(labels: np.ndarray, next_labels: np.ndarray) -> tuple[int, int]:
    """Pixels whose class differs between two label images of the same view, and pixels with a class in both."""
    both = (labels != IGNORE_INDEX) & (next_labels != IGNORE_INDEX)
    return int((labels != next_labels)[both].sum()), int(both.sum())


def true_labels(vertices: np.ndarray, frames: Sequence[Frame], tolerance: float) -> np.ndarray:
    """uint8 V: the class that most labelled views see at a vertex; 255 where none sees it.

    Args:
        vertices: float32 V,3, metres in the world.
        frames: with pose, camera, depth and labels.
        tolerance: metres that the depth of a view may differ from that of a vertex it sees.
    """
    votes = np.zeros((len(vertices), IGNORE_INDEX + 1), np.uint16)
    for frame in frames:
        index, rows, columns = _seen(vertices, frame, tolerance)
        votes[index, frame.labels[rows, columns]] += 1
    votes[:, IGNORE_INDEX] = 0
    return np.where(votes.any(axis=1), votes.argmax(axis=1), IGNORE_INDEX).astype(np.uint8)


def _seen(vertices: np.ndarray, frame: Frame, tolerance: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices that a view sees (int M), and the row and column of the pixel of each."""
    index, rows, columns, z = project(vertices, np.linalg.inv(frame.T_world_camera), frame.intrinsics)
    depth = frame.depth[rows, columns]
    is_visible = (depth > 0) & (np.abs(depth - z) <= tolerance)
    return index[is_visible], rows[is_visible], columns[is_visible]


def flicker(labels: list[np.ndarray], warps: list[np.ndarray]) -> float:
    """Share of pixels whose class differs from that of the view before, where both see the same surface.

    Args:
        labels: uint8 H,W of each view, 255 = unknown.
        warps: of each view but the first, int32 H,W: the flat index of the pixel of the view before, -1 = not seen.
    """
    changed = total = 0
    for before, now, source in zip(labels, labels[1:], warps, strict=False):
        moved = np.where(source >= 0, before.reshape(-1)[source], np.uint8(IGNORE_INDEX))
        different, both = label_changes(moved, now)
        changed, total = changed + different, total + both
    return changed / total if total else float('nan')

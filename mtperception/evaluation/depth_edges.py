# SPDX-License-Identifier: Apache-2.0
"""How sharp depth is: errors near the true depth edges, and how far predicted edges are from true ones.

Source: T. Koch, L. Liebel, F. Fraundorfer, M. Koerner, Evaluation of CNN-based Single-Image Depth Estimation Methods,
ECCV Workshops 2018 (IBims-1), section 3.2: depth boundary errors. There, true edges are drawn by people; here they are
found in the true depth as the predicted ones are in the prediction. Published versions of the benchmark's script differ
in the thresholds (also 0.15 and 0.3), and in whether completeness looks from both sides; here it looks from true edges.
"""

import cv2
import numpy as np

from mtperception.errors import InputError
from mtperception.evaluation.running_sum import ExactSum, RunningSum, check_same_shape, quotient
from mtperception.geometry import fill_holes, is_valid

BLUR = 2**0.5
"""Pixels: standard deviation of the Gaussian before Canny's derivatives."""
THRESHOLDS = (0.1, 0.2)
"""Of Canny's hysteresis: a Sobel derivative, in parts of the map's range of depth. A step of a tenth of the range is an
edge."""
FURTHEST = 10.0
"""Pixels: theta of the source. Edges further away are not the same edge."""
NEAR_EDGE = 5.0
"""Pixels from a true edge within which `rmse_edges` counts."""
WINDOW = 5
"""Pixels: true edges are looked for where at least half of a window of this size has a truth."""
_LEVELS = 2**16 - 1
_STEPS = 2**12
"""Derivatives are computed of `_LEVELS` and given to Canny in parts of `_STEPS`, all in whole numbers: floating-point
filters may round differently from one process to the next. Four times the steps, the largest derivative, is an int16.
"""


def canny_edges(depth: np.ndarray) -> np.ndarray:
    """bool H,W: the edges of a map of depth, one pixel wide, by Canny's method on depth over its own range.

    Args:
        depth: float H,W, finite.
    """
    near, far = float(depth.min()), float(depth.max())
    if not far > near:
        return np.zeros(depth.shape, bool)
    relative = np.rint((depth.astype(np.float64) - near) * (_LEVELS / (far - near))).astype(np.uint16)
    smooth = cv2.GaussianBlur(relative, (0, 0), BLUR)
    slopes = (np.rint(cv2.Sobel(smooth, cv2.CV_32F, dx, 1 - dx) / (_LEVELS / _STEPS)).astype(np.int16) for dx in (1, 0))
    return cv2.Canny(*slopes, *(_STEPS * threshold for threshold in THRESHOLDS), L2gradient=True) > 0


def true_edges(truth: np.ndarray) -> np.ndarray:
    """bool H,W: the edges of a true depth that has holes.

    Holes are filled with the nearest depth, which moves an edge into the hole that hides it; there it does not count.
    A sparse truth, such as a laser's, has no edges (`WINDOW`).

    Args:
        truth: float H,W, metres; what is not `geometry.is_valid` is a hole.
    """
    valid = is_valid(truth)
    share = cv2.boxFilter(valid.astype(np.float32), -1, (WINDOW, WINDOW), borderType=cv2.BORDER_REFLECT)
    dense = valid & (share >= 0.5)
    if not dense.any():
        return np.zeros(truth.shape, bool)
    return canny_edges(fill_holes(truth)) & dense


def _distance(edges: np.ndarray) -> np.ndarray:
    """float64 H,W: pixels from the nearest edge; infinite where there is none."""
    if not edges.any():
        return np.full(edges.shape, np.inf)
    distance = cv2.distanceTransform((~edges).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    # Its last bits differ from one process to the next; the square is a whole number.
    return np.sqrt(np.rint(distance.astype(np.float64) ** 2))


class DepthEdgeMetrics(RunningSum):
    """Depth near true edges, and how well edges agree, over a set of images; those without a true edge do not count."""

    def __init__(self) -> None:
        super().__init__(
            squared=ExactSum(), pixels=np.zeros((), np.int64), boundary=ExactSum(2), images=np.zeros((), np.int64)
        )

    def update(self, depth: np.ndarray, truth: np.ndarray) -> None:
        """Add one image.

        Args:
            depth: float H,W, predicted metres.
            truth: float H,W, metres; what is not `geometry.is_valid` is not counted.

        Raises:
            ValueError: if the arrays differ in shape, or the prediction is not finite.
        """
        check_same_shape(depth, truth)
        edges = true_edges(truth)
        if not edges.any():
            return
        if not np.isfinite(depth).all():
            raise InputError('the predicted depth is not finite everywhere: expected metres')
        valid = is_valid(truth)
        from_truth = _distance(edges)
        near = valid & (from_truth <= NEAR_EDGE)
        self._sums['squared'] += ((depth[near].astype(np.float64) - truth[near]) ** 2).sum()
        self._sums['pixels'] += np.count_nonzero(near)
        self._sums['boundary'] += _boundary_errors(canny_edges(depth), valid, edges, from_truth)
        self._sums['images'] += 1

    def compute(self) -> dict[str, float]:
        """Metrics.

        Returns:
            rmse_edges: root of the mean squared error over all pixels within 5 pixels of a true edge, metres.
            dbe_acc: pixels from a predicted edge to the nearest true one, mean over the predicted edges that have one
                within 10 pixels; 10 if none has. Mean over the images.
            dbe_comp: pixels from a true edge to the nearest predicted one, at most 10, mean over the true edges. Mean
                over the images.
        """
        images = int(self._sums['images'])
        accuracy, completeness = (quotient(total, images) for total in self._sums['boundary'].value)
        return {
            'rmse_edges': float(np.sqrt(quotient(self._sums['squared'].value, int(self._sums['pixels'])))),
            'dbe_acc': accuracy,
            'dbe_comp': completeness,
        }


def _boundary_errors(
    predicted: np.ndarray, valid: np.ndarray, edges: np.ndarray, from_truth: np.ndarray
) -> tuple[float, float]:
    """Accuracy and completeness of one image; predicted edges in holes of the truth are neither right nor wrong."""
    matched = from_truth[predicted & valid & (from_truth <= FURTHEST)]
    missed = np.minimum(_distance(predicted)[edges], FURTHEST)
    return float(matched.mean()) if matched.size else FURTHEST, float(missed.mean())

# SPDX-License-Identifier: Apache-2.0
"""Whether the confidence of labels is what it claims to be: the share of them that is right."""

import numpy as np

from mtperception.errors import InputError
from mtperception.evaluation.running_sum import RunningSum, check_same_shape
from mtperception.labels import IGNORE_INDEX

BINS = 15
"""Bins of equal width, as in the source: each is 17 of the 255 steps of a confidence."""
LEVELS = 256


class CalibrationMetrics(RunningSum):
    """Expected calibration error of the confidence, over the labelled pixels of the set.

    Source: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, On Calibration of Modern Neural Networks, ICML 2017, equation
    3, with M = 15. Pixels are counted by each of the 256 values of a confidence, so that nothing is rounded.
    """

    def __init__(self) -> None:
        self._counts = np.zeros((2, LEVELS), np.int64)
        super().__init__(counts=self._counts)

    def update(self, labels: np.ndarray, confidence: np.ndarray, truth: np.ndarray) -> None:
        """Add an image, or any number of pixels.

        Args:
            labels: uint8, predicted classes.
            confidence: uint8, same shape: how sure the prediction is, 0..255.
            truth: uint8, same shape; 255 = unlabelled, not counted.

        Raises:
            ValueError: if the arrays differ in shape or are of another type.
        """
        check_same_shape(labels, truth)
        check_same_shape(confidence, truth)
        if {array.dtype for array in (labels, confidence, truth)} != {np.dtype(np.uint8)}:
            raise InputError(
                f'labels {labels.dtype}, confidence {confidence.dtype}, truth {truth.dtype}: expected uint8'
            )
        known = truth != IGNORE_INDEX
        right = labels[known] == truth[known]
        self._counts += np.bincount(confidence[known] + LEVELS * right, minlength=2 * LEVELS).reshape(2, LEVELS)

    def bins(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What a reliability diagram shows: bin m holds confidences above m / 15 up to (m + 1) / 15, the first also 0.

        Returns:
            Pixels (int64 15), mean confidence and share of right labels (float64 15, 0..1; NaN where there are none).
        """
        levels = np.arange(LEVELS)
        starts = np.array([0, *(levels[-1] * np.arange(1, BINS) // BINS + 1)])
        wrong, right = self._counts
        pixels, claimed, correct = (
            np.add.reduceat(counts, starts) for counts in (wrong + right, (wrong + right) * levels, right)
        )
        mean, share = (
            np.divide(part, pixels, out=np.full(BINS, np.nan), where=pixels > 0) for part in (claimed, correct)
        )
        return pixels, mean / levels[-1], share

    def compute(self) -> dict[str, float]:
        """Metrics.

        Returns:
            ece: mean over the bins, each by its pixels, of |mean confidence - share of right labels|; 0..1.
        """
        pixels, confidence, accuracy = self.bins()
        some = pixels > 0
        gap = np.abs(confidence - accuracy)[some] * (pixels[some] / max(1, pixels.sum()))
        return {'ece': float(gap.sum()) if some.any() else float('nan')}


def calibration_error(confidence: np.ndarray, is_right: np.ndarray) -> float:
    """What `CalibrationMetrics` computes, of confidences that are no bytes; NaN without any.

    Args:
        confidence: float N, 0..1.
        is_right: bool N.
    """
    if not len(confidence):
        return float('nan')
    bin_of = np.searchsorted(np.arange(1, BINS) / BINS, confidence)
    confidences, rights = (np.bincount(bin_of, values, BINS) for values in (confidence, is_right))
    return float(np.abs(confidences - rights).sum() / len(confidence))

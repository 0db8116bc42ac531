# SPDX-License-Identifier: Apache-2.0
"""Whether the confidence of depth ranks pixels by their error: what is left of it where the network is sure."""

import math

import numpy as np

from mtperception.evaluation.running_sum import ExactSum, RunningSum, check_same_shape
from mtperception.geometry import is_valid

LEVELS = 256
SUREST = 0.7
"""Share of the pixels that are kept."""


class DepthConfidenceMetrics(RunningSum):
    """Error of depth by confidence, over the pixels of the set with a true depth.

    It is a point of the sparsification curve (E. Ilg et al., Uncertainty Estimates and Multi-Hypotheses Networks for
    Optical Flow, ECCV 2018, section 5). Squared errors are summed by each of the 256 values of a confidence, so the
    order of the images does not matter.
    """

    def __init__(self) -> None:
        super().__init__(pixels=np.zeros(LEVELS, np.int64), squared=ExactSum(LEVELS))

    def update(self, depth: np.ndarray, confidence: np.ndarray, truth: np.ndarray) -> None:
        """Add an image.

        Args:
            depth: float H,W, predicted metres.
            confidence: uint8 H,W.
            truth: float H,W, metres; what is not `geometry.is_valid` is not counted.

        Raises:
            ValueError: if the arrays differ in shape, or a prediction that counts is not finite.
        """
        check_same_shape(depth, truth)
        check_same_shape(confidence, truth)
        counted = is_valid(truth)
        level = confidence[counted]
        squared = (depth[counted].astype(np.float64) - truth[counted]) ** 2
        self._sums['pixels'] += np.bincount(level, minlength=LEVELS)
        self._sums['squared'] += np.bincount(level, squared, LEVELS)

    def compute(self) -> dict[str, float]:
        """Metrics.

        Returns:
            rmse_surest_70: root mean square error of the 70 % of all pixels with the highest confidence, metres. Of the
                pixels whose confidence is at the border, the needed share counts.
        """
        pixels, squared = self._sums['pixels'][::-1], self._sums['squared'].value[::-1]
        wanted = SUREST * pixels.sum()
        if not wanted:
            return {'rmse_surest_70': math.nan}
        before = np.cumsum(pixels) - pixels
        share = np.clip((wanted - before) / np.maximum(pixels, 1), 0, 1)
        return {'rmse_surest_70': math.sqrt(float((share * squared).sum() / wanted))}

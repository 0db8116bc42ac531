# SPDX-License-Identifier: Apache-2.0
"""How the error of depth is spread: over distance, and around zero."""

import numpy as np

from mtperception.evaluation.running_sum import ExactSum, RunningSum
from mtperception.geometry import is_valid

DISTANCES = 20
"""Bins of true distance."""
ERRORS = 100
"""Bins of signed error."""


class DepthProfile(RunningSum):
    """Error by true distance and histogram of errors, summed over images. What is outside of a range goes to its end.

    Args:
        furthest: metres: end of the range of distances; errors are kept up to a quarter of it in both directions.
    """

    def __init__(self, furthest: float) -> None:
        self.distances = np.linspace(0, furthest, DISTANCES + 1)
        """float64 21: edges of the bins of distance, metres."""
        self.errors = np.linspace(-furthest / 4, furthest / 4, ERRORS + 1)
        """float64 101: edges of the bins of error, prediction less truth, metres."""
        super().__init__(
            pixels=np.zeros(DISTANCES, np.int64),
            error_pixels=np.zeros(ERRORS, np.int64),
            error=ExactSum(DISTANCES),
            squared=ExactSum(DISTANCES),
        )

    @property
    def pixels(self) -> np.ndarray:
        """int64 20: pixels by true distance."""
        return self._sums['pixels']

    @property
    def error_pixels(self) -> np.ndarray:
        """int64 100: pixels by error."""
        return self._sums['error_pixels']

    @property
    def rmse(self) -> np.ndarray:
        """float64 20: root mean square error by true distance, metres; NaN where there are no pixels."""
        return np.sqrt(self._mean('squared'))

    @property
    def bias(self) -> np.ndarray:
        """float64 20: mean of prediction less truth by true distance, metres; NaN where there are no pixels."""
        return self._mean('error')

    def update(self, depth: np.ndarray, truth: np.ndarray) -> None:
        """Add one image.

        Args:
            depth: float H,W, predicted metres.
            truth: float H,W, metres; what is not `geometry.is_valid` is left out.
        """
        valid = is_valid(truth)
        true = truth[valid].astype(np.float64)
        error = depth[valid] - true
        near = self._bins(true, self.distances)
        self._sums['pixels'] += np.bincount(near, minlength=DISTANCES)
        self._sums['error'] += np.bincount(near, error, DISTANCES)
        self._sums['squared'] += np.bincount(near, error**2, DISTANCES)
        self._sums['error_pixels'] += np.bincount(self._bins(error, self.errors), minlength=ERRORS)

    def _mean(self, name: str) -> np.ndarray:
        total = self._sums[name].value
        return np.divide(total, self.pixels, out=np.full(DISTANCES, np.nan), where=self.pixels > 0)

    @staticmethod
    def _bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """Index of the bin of each value, among bins of equal width."""
        scaled = (values - edges[0]) / (edges[1] - edges[0])
        return np.clip(scaled, 0, len(edges) - 2).astype(np.int64)

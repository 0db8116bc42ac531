# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from mtperception.replay.alignment import Alignment, median_scale, scale_and_shift


def test_the_median_of_the_ratios():
    """Ratios 2, 3 and 100: one wild pixel does not count."""
    assert median_scale(np.array([1.0, 1, 1]), np.array([2.0, 3, 100])) == Alignment(3)


def test_scale_and_shift_of_a_line_are_found():
    depth = np.array([1.0, 2, 5])
    fit = scale_and_shift(depth, 2 * depth + 0.5)
    assert (fit.scale, fit.shift) == pytest.approx((2, 0.5))


def test_scale_and_shift_are_least_squares():
    """Depths 0 1 2, truths 0 3 3. Means 1 and 2, covariance sum (-1)(-2) + 0 + (1)(1) = 3, spread 2: scale 1.5,
    shift 2 - 1.5 = 0.5."""
    fit = scale_and_shift(np.array([0.0, 1, 2]), np.array([0.0, 3, 3]))
    assert (fit.scale, fit.shift) == pytest.approx((1.5, 0.5))


def test_a_flat_prediction_is_only_shifted():
    fit = scale_and_shift(np.array([2.0, 2]), np.array([3.0, 5]))
    assert (fit.scale, fit.shift) == pytest.approx((1, 2))

# SPDX-License-Identifier: Apache-2.0
"""Where depth is wrong, worked by hand."""

import numpy as np
import pytest

from mtperception.evaluation.depth_profile import DepthProfile


def profile(predicted, truth):
    result = DepthProfile(20.0)  # bins of a metre; errors up to 5 m in bins of 0.1 m
    result.update(np.array([predicted], np.float32), np.array([truth], np.float32))
    return result


def test_errors_go_by_true_distance():
    """At 2 to 3 m: errors 1 and -3, so RMSE sqrt(10 / 2) and bias -1. At 8 to 9 m: 0.25. Elsewhere nothing."""
    result = profile([3.5, 0.25, 8.5], [2.5, 3.25 - 1e-6 - 0.25, 8.25])
    expected = np.zeros(20)
    expected[[2, 8]] = 2, 1
    np.testing.assert_array_equal(result.pixels, expected)
    assert result.rmse[2] == pytest.approx(np.sqrt((1 + 2.75**2) / 2), rel=1e-5)
    assert result.bias[2] == pytest.approx((1 - 2.75) / 2, rel=1e-5)
    assert result.rmse[8] == pytest.approx(0.25)
    assert np.isnan(result.rmse[[0, 1, 3, 19]]).all()


def test_errors_are_counted_by_size():
    """Bins of 0.1 m from -5 on: 0.25 is number 52, -2.95 number 20."""
    result = profile([2.25, 2.05], [2, 5])
    assert np.flatnonzero(result.error_pixels).tolist() == [20, 52]


def test_what_is_out_of_range_goes_to_the_end_and_what_is_unknown_nowhere():
    result = profile([50, 90, 7, 7], [30, 25, 0, np.nan])
    assert (result.pixels[-1], result.pixels.sum()) == (2, 2)
    assert (result.error_pixels[-1], result.error_pixels.sum()) == (2, 2)

# SPDX-License-Identifier: Apache-2.0
"""The error of depth where the network is sure, by hand."""

import math

import numpy as np
import pytest

from mtperception.evaluation.depth_confidence import DepthConfidenceMetrics

TRUTH = np.full((2, 5), 2.0, np.float32)
ERRORS = np.array([[0.1, 0.2, 0.3, 0.4, 0.5], [0.6, 0.7, 0.8, 0.9, 1.0]], np.float32)


def surest(confidence, depth=TRUTH + ERRORS, truth=TRUTH):
    metrics = DepthConfidenceMetrics()
    metrics.update(depth, np.asarray(confidence, np.uint8), truth)
    return metrics.compute()['rmse_surest_70']


def rms(*errors):
    return math.sqrt(sum(error**2 for error in errors) / len(errors))


def test_the_surest_seven_of_ten_pixels_count():
    ranked = 250 - (ERRORS * 100).round()
    assert surest(ranked) == pytest.approx(rms(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7))


def test_the_other_way_round_the_worst_pixels_count():
    assert surest(ERRORS * 100) == pytest.approx(rms(0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0))


def test_equal_confidence_is_that_of_all_pixels():
    assert surest(np.full((2, 5), 77)) == pytest.approx(rms(*ERRORS.ravel()))


def test_a_share_of_the_pixels_at_the_border():
    """Five pixels are sure; of the other five, all as unsure, two of five count: 7 of 10."""
    second = sum(error**2 for error in (0.6, 0.7, 0.8, 0.9, 1.0)) * 2 / 5
    first = sum(error**2 for error in (0.1, 0.2, 0.3, 0.4, 0.5))
    assert surest([[200] * 5, [100] * 5]) == pytest.approx(math.sqrt((first + second) / 7))


def test_pixels_without_truth_do_not_count():
    truth = TRUTH.copy()
    truth[1] = 0
    assert surest([[1] * 5, [255] * 5], truth=truth) == pytest.approx(rms(0.1, 0.2, 0.3, 0.4, 0.5))
    assert math.isnan(surest(np.zeros((2, 5)), truth=np.zeros((2, 5), np.float32)))


def test_parts_merge_to_the_whole_to_the_last_bit():
    rng = np.random.default_rng(0)
    parts = [
        (rng.uniform(1, 9, (30, 40)), rng.integers(0, 256, (30, 40), np.uint8), rng.uniform(1, 9, (30, 40)))
        for _ in range(5)
    ]
    whole, first, second = (DepthConfidenceMetrics() for _ in range(3))
    for part in parts:
        whole.update(*part)
    for part in parts[::-1]:
        (first if part is parts[3] else second).update(*part)
    first.merge(second)
    assert first.compute() == whole.compute()


def test_maps_of_other_sizes_and_depths_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match='expected the same'):
        surest(np.zeros((2, 4)))
    with pytest.raises(ValueError, match='not finite'):
        surest(np.zeros((2, 5)), depth=TRUTH * np.nan)

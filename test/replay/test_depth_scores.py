# SPDX-License-Identifier: Apache-2.0
"""Depth of hand-made frames: totals, bands and classes, before and after alignment."""

import numpy as np
import pytest

from mtperception.evaluation.metrics import DepthMetrics
from mtperception.replay.depth_scores import BANDS, DepthScores


def metres(*values):
    return np.array([values], np.float32)


def test_a_wrong_scale_is_taken_out_by_the_median():
    truth = metres(2, 4, 6)
    score = DepthScores().add(truth / 2, truth, None)
    assert score.fits['median'].scale == pytest.approx(2)
    assert score.metrics['raw']['rmse'] == pytest.approx(np.sqrt((1 + 4 + 9) / 3))
    assert score.metrics['median']['rmse'] == pytest.approx(0, abs=1e-6)
    assert score.metrics['scale_shift']['rmse'] == pytest.approx(0, abs=1e-6)


def test_a_shift_is_not():
    """Truth 2 4 6, prediction 1 3 5: ratios 2, 4/3 and 6/5, so the scale is 4/3 and gives 4/3, 4, 20/3."""
    score = DepthScores().add(metres(1, 3, 5), metres(2, 4, 6), None)
    assert score.metrics['median']['rmse'] == pytest.approx(np.sqrt((4 / 9 + 0 + 4 / 9) / 3))
    assert score.metrics['scale_shift']['rmse'] == pytest.approx(0, abs=1e-6)
    assert score.fits['scale_shift'].shift == pytest.approx(1)


def test_the_sums_are_those_of_depth_metrics():
    """Over two frames with holes; the same numbers by the class that evaluates data sets."""
    random = np.random.default_rng(0)
    frames = [(random.uniform(0.5, 12, (6, 8)), random.uniform(0.5, 12, (6, 8))) for _ in range(2)]
    scores, expected = DepthScores(), DepthMetrics()
    for depth, truth in frames:
        truth[2] = 0
        scores.add(depth, truth, None)
        expected.update(depth, truth)
    assert scores.overall.compute()['raw'] == pytest.approx(expected.compute())
    assert scores.overall.pixels == 2 * 5 * 8


def test_bands_of_true_distance_and_predicted_classes():
    """Errors by pixel: 0.5 at 0.5 m (class 3), 1 at 1 m (class 3), 2 at 4.9 m (class 7), 3 at 100 m (no class)."""
    scores = DepthScores()
    labels = np.array([[3, 3, 7, 255]], np.uint8)
    scores.add(metres(1, 2, 6.9, 97), metres(0.5, 1, 4.9, 100), labels)
    rmse = {BANDS[i]: x.compute()['raw']['rmse'] for i, x in enumerate(scores.by_band) if x.pixels}
    assert rmse == pytest.approx({0: 0.5, 1: 1, 3: 2, 80: 3}, rel=1e-5)
    rmse = {index: x.compute()['raw']['rmse'] for index, x in scores.by_class.items()}
    assert rmse == pytest.approx({3: np.sqrt((0.25 + 1) / 2), 7: 2, 255: 3}, rel=1e-5)


def test_alignment_is_that_of_the_frame_not_of_the_band():
    """Of truth 1 and 3 x 2, predicted half, half, half and exact, the scale is 2, and the exact one becomes wrong."""
    scores = DepthScores()
    scores.add(metres(0.5, 1, 1, 2.5), metres(1, 2, 2, 2.5), None)
    by_band = [x.compute()['median']['rmse'] for x in scores.by_band if x.pixels]
    assert by_band == pytest.approx([0, np.sqrt((0 + 0 + 2.5**2) / 3)], abs=1e-6)


def test_a_frame_without_truth_changes_nothing():
    scores = DepthScores()
    assert scores.add(metres(1, 2), metres(0, np.nan), None) is None
    assert scores.overall.pixels == 0


def test_without_labels_there_are_no_classes():
    scores = DepthScores()
    scores.add(metres(1), metres(2), None)
    assert scores.by_class == {}

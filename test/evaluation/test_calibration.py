# SPDX-License-Identifier: Apache-2.0
"""The expected calibration error against numbers worked out by hand, and against its definition on random pixels."""

import itertools
import json
import math

import numpy as np
import pytest

from mtperception.evaluation.calibration import BINS, CalibrationMetrics, calibration_error


def pixels(*values):
    return np.array([values], np.uint8)


def ece(*images):
    metrics = CalibrationMetrics()
    for image in images:
        metrics.update(*image)
    return metrics.compute()['ece']


def test_by_hand():
    """Bin (12/15, 13/15]: two pixels at 0.8235, one right, gap 0.3235. The last bin: two at 1.0, one right, gap 0.5."""
    confidence = pixels(210, 210, 255, 255)
    found = ece((pixels(1, 1, 2, 2), confidence, pixels(1, 0, 2, 0)))
    assert found == pytest.approx(((210 / 255 - 0.5) + 0.5) / 2)


def test_pixels_of_one_bin_are_judged_together():
    """0.2039 and 0.2627 are both in (3/15, 4/15]: one of two is right, so the gap is that of their mean."""
    assert ece((pixels(1, 1), pixels(52, 67), pixels(1, 0))) == pytest.approx(0.5 - (52 + 67) / 2 / 255)


def test_the_bounds_of_bins_belong_to_the_lower_one():
    """51 / 255 is exactly 3 / 15; apart from 52 it has a gap of its own, together they would have none."""
    assert ece((pixels(1, 1), pixels(51, 52), pixels(1, 0))) == pytest.approx(((1 - 51 / 255) + 52 / 255) / 2)


def test_unlabelled_pixels_do_not_count():
    known = ece((pixels(1, 1), pixels(200, 90), pixels(1, 0)))
    assert ece((pixels(1, 1, 3), pixels(200, 90, 255), pixels(1, 0, 255))) == known


def test_over_nothing_it_is_nan():
    assert math.isnan(ece())
    assert math.isnan(ece((pixels(1), pixels(9), pixels(255))))


def test_a_prediction_that_knows_how_sure_it_is_has_none():
    rng = np.random.default_rng(0)
    confidence = rng.integers(0, 256, (400, 500)).astype(np.uint8)
    truth = (rng.random(confidence.shape) * 255 > confidence).astype(np.uint8)
    assert ece((np.zeros_like(truth), confidence, truth)) < 0.005
    assert ece((np.zeros_like(truth), np.full_like(confidence, 255), truth)) == pytest.approx(0.5, abs=0.01)


def test_it_is_what_the_definition_says():
    rng = np.random.default_rng(1)
    labels, truth = (rng.integers(0, 4, (30, 40)).astype(np.uint8) for _ in range(2))
    confidence = rng.integers(0, 256, (30, 40)).astype(np.uint8)
    value = confidence / 255
    expected = 0.0
    for m in range(BINS):
        inside = (value > m / BINS) & (value <= (m + 1) / BINS) | (m == 0) & (value == 0)
        expected += inside.mean() * abs(value[inside].mean() - (labels == truth)[inside].mean())
    assert ece((labels, confidence, truth)) == pytest.approx(expected, rel=1e-12)


def test_confidences_that_are_no_bytes_are_counted_alike():
    confidence = np.arange(256, dtype=np.uint8)
    labels = np.random.default_rng(0).integers(0, 2, 256).astype(np.uint8)
    expected = ece((labels, confidence, np.ones_like(labels)))
    assert calibration_error(confidence / 255, labels == 1) == pytest.approx(expected, rel=1e-12)
    assert math.isnan(calibration_error(np.zeros(0), np.zeros(0, bool)))


def test_parts_merge_to_the_whole_bit_by_bit():
    rng = np.random.default_rng(2)
    images = [tuple(rng.integers(0, high, (9, 11)).astype(np.uint8) for high in (3, 256, 3)) for _ in range(4)]
    for order in itertools.permutations(images):
        total = CalibrationMetrics()
        for part in (order[:1], order[1:]):
            metrics, read = CalibrationMetrics(), CalibrationMetrics()
            for image in part:
                metrics.update(*image)
            read.restore(json.loads(json.dumps(metrics.state())))
            total.merge(read)
        assert total.compute()['ece'] == ece(*images)


def test_other_arrays_are_refused():
    with pytest.raises(ValueError, match='expected the same'):
        ece((pixels(1, 1), pixels(1, 1), pixels(1)))
    with pytest.raises(ValueError, match='confidence float64'):
        ece((pixels(1), np.ones((1, 1)), pixels(1)))

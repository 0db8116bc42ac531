# SPDX-License-Identifier: Apache-2.0
"""The metrics of maps, by hand."""

import numpy as np
import pytest

from mtperception.mapping.quality import (
    flicker,
    label_changes,
    surface_scores,
)


def test_surface_scores():
    found = np.array([[0, 0, 0], [1, 0, 0], [5, 0, 0]], np.float32)
    truth = np.array([[0, 0, 0.04], [1, 0, 0]], np.float32)
    scores = surface_scores(found, truth, 0.05)
    assert scores['accuracy'] == pytest.approx((0.04 + 0 + 4) / 3)
    assert scores['completeness'] == pytest.approx(0.02)
    assert (scores['precision'], scores['recall']) == (pytest.approx(2 / 3), 1)
    assert scores['f_score'] == pytest.approx(2 * (2 / 3) / (2 / 3 + 1))
    assert np.isnan(surface_scores(found[:0], truth, 0.05)['f_score'])


def test_flicker_follows_the_motion():
    """The second view is the first one, moved by a pixel, with one class changed."""
    first = np.array([[1, 2, 3, 255]], np.uint8)
    second = np.array([[2, 4, 3, 7]], np.uint8)
    source = np.array([[1, 2, 3, -1]])
    assert label_changes(first, second) == (2, 3)
    assert flicker([first, second], [source]) == pytest.approx(1 / 2)
    assert np.isnan(flicker([first], []))

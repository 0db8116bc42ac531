# SPDX-License-Identifier: Apache-2.0
"""Worst of the images, not their mean."""

import numpy as np
import pytest

from mtperception.agreement import Agreement, compare


def test_the_worst_image_counts():
    labels = np.zeros((2, 2, 5), np.uint8)
    other = labels.copy()
    other[1, 0, 0] = 1  # one of ten pixels of the second image
    depth = np.full((2, 2, 5), 2.0, np.float32)
    farther = depth.copy()
    farther[0] *= 1.25
    found = compare({'labels': other, 'depth': farther}, {'labels': labels, 'depth': depth})
    assert (found.labels, found.depth) == pytest.approx((0.9, 0.25))


def test_a_task_that_the_model_has_not():
    depth = np.ones((1, 2, 2), np.float32)
    assert compare({'depth': depth}, {'depth': depth}) == Agreement(None, 0.0)

# SPDX-License-Identifier: Apache-2.0
"""Each output by its kind; the worst of the images, not their mean."""

import numpy as np
import pytest

from mtperception.agreement import compare


def test_the_worst_image_counts():
    labels = np.zeros((2, 2, 5), np.uint8)
    other = labels.copy()
    other[1, 0, 0] = 1  # one of ten pixels of the second image
    depth = np.full((2, 2, 5), 2.0, np.float32)
    farther = depth.copy()
    farther[0] *= 1.25
    found = compare({'labels': other, 'depth': farther}, {'labels': labels, 'depth': depth})
    assert found == pytest.approx({'labels': 0.1, 'depth': 0.25})


def test_every_output_is_compared_in_units_of_its_kind():
    confidence = np.full((1, 4, 4), 100, np.uint8)
    sure = confidence.copy()
    sure[0, :3] = 130  # by 30, in most pixels; not by 226, as bytes are subtracted
    normals = np.zeros((1, 4, 4, 3), np.float32)
    normals[..., 2] = -1
    tilted = normals.copy()
    tilted[...] = 0, np.sin(np.radians(5)), -np.cos(np.radians(5))
    found = compare(
        {'confidence': sure, 'depth_confidence': 255 - confidence, 'normals': tilted},
        {'confidence': confidence, 'depth_confidence': confidence, 'normals': normals},
    )
    assert found == pytest.approx({'confidence': 30, 'depth_confidence': 55, 'normals': 5}, rel=1e-5)


def test_what_is_not_finite_is_infinitely_far_off():
    depth = np.ones((1, 2, 2), np.float32)
    broken = depth.copy()
    broken[0, 0, 0] = np.nan
    assert compare({'depth': broken}, {'depth': depth}) == {'depth': np.inf}
    assert compare({'depth': depth, 'labels': depth}, {'depth': depth}) == {'depth': 0.0}

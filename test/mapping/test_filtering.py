# SPDX-License-Identifier: Apache-2.0
"""What stays out of a map, pixel by pixel."""

import numpy as np

from mtperception.labels import load_label_space
from mtperception.mapping.filtering import DepthFilter

SPACE = load_label_space('cityscapes_19')
ROAD, SKY, PERSON = (SPACE.names.index(name) for name in ('road', 'sky', 'person'))


def test_each_reason_counts_once():
    depth = np.array([[0.0, 2.0, 2.0, 9.0, np.nan, 2.0]], np.float32)
    labels = np.array([[SKY, SKY, PERSON, PERSON, ROAD, ROAD]], np.uint8)
    filtered = DepthFilter(SPACE, max_depth=5.0, depth_edge_threshold=0)(depth, labels)
    np.testing.assert_array_equal(filtered.depth, [[0, 0, 0, 0, 0, 2.0]])
    assert filtered.left_out == {
        'no depth': 2,
        'class without surface': 1,
        'dynamic class': 2,
        'unsure depth': 0,
        'beyond max_depth': 0,
        'depth edge': 0,
    }


def test_far_pixels_and_edges():
    depth = np.full((3, 6), 2.0, np.float32)
    depth[:, 3:] = 3.0
    depth[:, 5] = 6.0
    labels = np.full(depth.shape, ROAD, np.uint8)
    filtered = DepthFilter(SPACE, max_depth=5.0, depth_edge_threshold=0.1)(depth, labels)
    np.testing.assert_array_equal(filtered.depth[1], [2, 2, 0, 0, 0, 0])
    assert (filtered.left_out['beyond max_depth'], filtered.left_out['depth edge']) == (3, 9)


def test_unsure_depth():
    depth, labels = np.full((1, 3), 2.0, np.float32), np.full((1, 3), ROAD, np.uint8)
    confidence = np.array([[127, 128, 255]], np.uint8)
    strict = DepthFilter(SPACE, 5.0, depth_edge_threshold=0, depth_confidence_threshold=0.5)
    assert strict(depth, labels, confidence).depth[0].tolist() == [0, 2, 2]
    assert strict(depth, labels, confidence).left_out['unsure depth'] == 1
    assert strict(depth, labels).depth.all()
    assert DepthFilter(SPACE, 5.0, depth_edge_threshold=0)(depth, labels, confidence).depth.all()


def test_nothing_is_dynamic_if_so_asked():
    depth, labels = np.full((2, 2), 2.0, np.float32), np.full((2, 2), PERSON, np.uint8)
    assert DepthFilter(SPACE, 5.0, dynamic_classes=('',))(depth, labels).depth.all()

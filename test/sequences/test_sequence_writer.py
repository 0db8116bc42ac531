# SPDX-License-Identifier: Apache-2.0
"""Frames of recordings."""

import numpy as np

from mtperception.sequences.writer import SequenceFrame
from mtperception.types import Intrinsics


def frame(image, depth, intrinsics=None):
    return SequenceFrame(np.array(image, np.uint8), np.array(depth, np.float32), 5, intrinsics)


WIDE = frame(
    [[[0, 0, 0], [100, 0, 0], [0, 0, 200], [0, 0, 0]]] * 2, [[0, 1, 2, 3]] * 2, Intrinsics(8, 6, 1.5, 0.5, 4, 2)
)


def test_a_smaller_frame_has_means_of_colours_and_depths_that_are_there():
    small = WIDE.resized((2, 1))
    assert small.image.tolist() == [[[50, 0, 0], [0, 0, 100]]]
    assert set(small.depth.ravel().tolist()) <= {0, 1, 2, 3}, 'no mean of two depths, and none with an invalid one'
    # half of the size: focal lengths are halved, the centre stays the centre
    assert small.intrinsics == Intrinsics(4, 3, 0.5, 0, 2, 1)
    assert small.stamp_ns == 5


def test_another_shape_is_stretched_to():
    tall = WIDE.resized((4, 8))
    assert tall.image.shape == (8, 4, 3)
    assert tall.depth.tolist() == [[0, 1, 2, 3]] * 8
    assert (tall.intrinsics.fx, tall.intrinsics.fy) == (8, 24)
    assert WIDE.resized((640, 480)).size == (640, 480)


def test_the_same_size_is_the_same_frame():
    assert WIDE.resized((4, 2)) is WIDE


def test_a_camera_that_is_not_known_stays_so():
    assert frame([[[1, 2, 3]]], [[1]]).resized((2, 2)).intrinsics is None

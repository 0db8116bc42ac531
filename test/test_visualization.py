# SPDX-License-Identifier: Apache-2.0
from itertools import pairwise

import numpy as np
import pytest

from mtperception.labels import IGNORE_INDEX, load_label_space
from mtperception.visualization import colorize_depth, colorize_labels, colorize_normals, overlay, side_by_side

SPACE = load_label_space('nyuv2_40')


def brightness(color):
    return float(np.asarray(color, float).sum())


def test_axes_of_normals_are_red_green_and_blue():
    """A wall that faces the camera is dark yellow: x and y in the middle, z towards the camera."""
    normals = np.array([[[0, 0, -1], [1, 0, 0], [0, -1, 0]]], np.float32)
    assert colorize_normals(normals).tolist() == [[[128, 128, 0], [255, 128, 128], [128, 0, 128]]]


class TestColorizeDepth:
    def test_invalid_is_black_and_valid_never_is(self):
        depth = np.array([[0.0, np.nan, -1.0, np.inf, -np.inf], [1e-6, 0.5, 3.0, 10.0, 1e30]], np.float32)
        color = colorize_depth(depth, 0.5, 10.0)
        assert color.shape == (2, 5, 3)
        assert color.dtype == np.uint8
        assert not color[0].any()
        assert (color[1].sum(axis=-1) > 0).all()

    def test_ends_of_the_range_in_rgb_order(self):
        near, far = colorize_depth(np.array([[0.5, 10.0]], np.float32), 0.5, 10.0)[0].astype(int)
        assert near[0] > 200 > near[2]  # yellow: much red, little blue
        assert far[2] > far[1]
        assert far[0] < 100  # dark violet-blue

    def test_beyond_the_range_is_its_end(self):
        beyond = colorize_depth(np.array([[0.1, 50.0, 1e30]], np.float32), 1.0, 5.0)
        np.testing.assert_array_equal(beyond, colorize_depth(np.array([[1.0, 5.0, 5.0]], np.float32), 1.0, 5.0))

    def test_further_is_darker_all_the_way(self):
        ramp = np.linspace(1, 5, 64, dtype=np.float32)[None]
        levels = [brightness(color) for color in colorize_depth(ramp, 1.0, 5.0)[0]]
        assert all(a > b for a, b in pairwise(levels))

    def test_a_depth_keeps_its_colour_whatever_else_is_seen(self):
        one = colorize_depth(np.array([[2.0, 2.0]], np.float32), 0.5, 10.0)[0, 0]
        other = colorize_depth(np.array([[2.0, 9.0]], np.float32), 0.5, 10.0)[0, 0]
        np.testing.assert_array_equal(one, other)

    @pytest.mark.parametrize('limits', [(5.0, 5.0), (6.0, 5.0), (float('nan'), 5.0)])
    def test_empty_range_is_refused(self, limits):
        with pytest.raises(ValueError, match='smaller first'):
            colorize_depth(np.ones((2, 2), np.float32), *limits)


class TestColorizeLabels:
    def test_exact_palette_and_white(self):
        labels = np.array([[0, 1, 39], [40, 254, IGNORE_INDEX]], np.uint8)
        color = colorize_labels(labels, SPACE)
        np.testing.assert_array_equal(color[0], SPACE.palette[[0, 1, 39]])
        np.testing.assert_array_equal(color[1], np.full((3, 3), 255))

    def test_every_class_can_be_read_back(self):
        labels = np.arange(len(SPACE), dtype=np.uint8)[None]
        colors = colorize_labels(labels, SPACE)[0]
        recovered = (colors[:, None] == SPACE.palette[None]).all(axis=-1).argmax(axis=1)
        np.testing.assert_array_equal(recovered, labels[0])

    def test_two_spaces_are_not_confused(self):
        labels = np.array([[0]], np.uint8)
        other = load_label_space('nyuv2_13')
        colorize_labels(labels, SPACE)
        np.testing.assert_array_equal(colorize_labels(labels, other)[0, 0], other.palette[0])

    def test_input_of_any_memory_layout(self):
        labels = np.arange(24, dtype=np.uint8).reshape(4, 6).T[::2]
        np.testing.assert_array_equal(colorize_labels(labels, SPACE), SPACE.palette[labels])


class TestOverlay:
    IMAGE = np.full((1, 3, 3), (100, 50, 201), np.uint8)
    LABELS = np.array([[0, 3, IGNORE_INDEX]], np.uint8)

    def test_half_and_half_by_hand(self):
        blended = overlay(self.IMAGE, self.LABELS, SPACE, 0.25)[0]
        # wall (128, 0, 0) and bed (0, 0, 128): three quarters image, one quarter colour
        np.testing.assert_allclose(blended[0], [107, 37.5, 150.75], atol=0.51)
        np.testing.assert_allclose(blended[1], [75, 37.5, 182.75], atol=0.51)

    def test_unknown_keeps_the_image(self):
        np.testing.assert_array_equal(overlay(self.IMAGE, self.LABELS, SPACE, 1.0)[0, 2], (100, 50, 201))

    def test_alpha_ends(self):
        np.testing.assert_array_equal(overlay(self.IMAGE, self.LABELS, SPACE, 0.0), self.IMAGE)
        np.testing.assert_array_equal(overlay(self.IMAGE, self.LABELS, SPACE, 1.0)[0, :2], SPACE.palette[[0, 3]])

    def test_the_image_is_left_as_it_was(self):
        image = self.IMAGE.copy()
        overlay(image, self.LABELS, SPACE, 1.0)
        np.testing.assert_array_equal(image, self.IMAGE)

    def test_read_only_input_as_received_from_a_topic(self):
        image = np.frombuffer(self.IMAGE.tobytes(), np.uint8).reshape(self.IMAGE.shape)
        np.testing.assert_array_equal(overlay(image, self.LABELS, SPACE), overlay(self.IMAGE, self.LABELS, SPACE))

    def test_other_size_is_refused(self):
        with pytest.raises(ValueError, match=r'\(2, 2\).*\(1, 3\)'):
            overlay(self.IMAGE, np.zeros((2, 2), np.uint8), SPACE)


class TestSideBySide:
    def test_order_and_widths(self):
        left, right = np.zeros((2, 1, 3), np.uint8), np.full((2, 3, 3), 7, np.uint8)
        joined = side_by_side(left, right)
        assert joined.shape == (2, 4, 3)
        assert not joined[:, 0].any()
        assert (joined[:, 1:] == 7).all()

    def test_one_picture_is_itself(self):
        picture = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
        np.testing.assert_array_equal(side_by_side(picture), picture)

    def test_other_height_is_refused(self):
        with pytest.raises(ValueError, match='2, 3 pixels high'):
            side_by_side(np.zeros((2, 2, 3), np.uint8), np.zeros((3, 2, 3), np.uint8))

    def test_no_picture_is_refused(self):
        with pytest.raises(ValueError, match='one or more'):
            side_by_side()

# SPDX-License-Identifier: Apache-2.0
"""Images of any shape, square by square."""

import numpy as np
import pytest

from mtperception.teachers.squares import by_squares, square_starts


@pytest.mark.parametrize(
    ('length', 'side', 'starts'),
    [
        (360, 360, [0]),
        (480, 360, [0, 120]),  # 120 pixels to go in steps of at most 180
        (1242, 375, [0, 173, 347, 520, 694, 867]),  # 867 in steps of at most 187.5: five of 173.4
        (3, 1, [0, 1, 2]),  # half a pixel at most would be four steps: starts are whole pixels
    ],
)
def test_starts(length, side, starts):
    assert sorted(set(square_starts(length, side))) == starts


def test_each_pixel_is_labelled_by_the_square_whose_centre_is_nearest():
    calls = iter(range(4))

    def number_of_the_square(square):
        assert square.shape == (4, 4, 3)
        return np.full((4, 4), next(calls), np.uint8)

    # Ten columns, side 4: squares start at 0, 2, 4, 6; their centres, 1.5, 3.5, 5.5, 7.5, part at 2.5, 4.5, 6.5.
    labels = by_squares(np.zeros((4, 10, 3), np.uint8), number_of_the_square)
    assert labels.tolist() == [[0, 0, 0, 1, 1, 2, 2, 3, 3, 3]] * 4


@pytest.mark.parametrize('shape', [(4, 10), (10, 4), (7, 7), (5, 23), (9, 8), (3, 1), (1, 1)])
def test_every_pixel_stays_where_it_is(shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    np.testing.assert_array_equal(by_squares(image, lambda square: square[..., 1]), image[..., 1])

# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from mtperception.recording.pairing import pair_by_stamp


def test_the_nearest_within_the_tolerance():
    assert pair_by_stamp([0, 100, 200], [205, 99, 40], 10) == {1: 1, 2: 0}


def test_the_tolerance_is_the_largest_difference_allowed():
    assert pair_by_stamp([100], [110], 10) == {0: 0}
    assert pair_by_stamp([100], [111], 10) == {}


def test_each_is_used_once_and_goes_to_the_nearest():
    """Both images are near the one depth; the second is nearer, though the first comes first."""
    assert pair_by_stamp([0, 6], [5], 10) == {1: 0}


def test_one_that_loses_its_nearest_takes_the_next():
    assert pair_by_stamp([0, 6], [5, -9], 10) == {1: 0, 0: 1}


def test_equal_stamps_pair_in_order():
    assert pair_by_stamp([7, 7], [7, 7], 0) == {0: 0, 1: 1}


@pytest.mark.parametrize('seed', range(20))
def test_it_is_what_sorting_all_pairs_gives(seed):
    """Some stamps are equal."""
    stamps = np.random.default_rng(seed).integers(0, 300, 90).tolist()
    first, second = stamps[:50], stamps[50:]
    expected, taken = {}, set()
    for difference, i, j in sorted((abs(a - b), i, j) for i, a in enumerate(first) for j, b in enumerate(second)):
        if difference <= 30 and i not in expected and j not in taken:
            expected[i] = j
            taken.add(j)
    assert pair_by_stamp(first, second, 30) == expected


def test_a_tolerance_that_pairs_everything_with_everything():
    """All pairs of them would take tens of gigabytes."""
    count = 50_000
    assert pair_by_stamp(range(count), range(count), count) == {i: i for i in range(count)}


def test_nothing_with_nothing():
    assert pair_by_stamp([], [], 10) == {}
    assert pair_by_stamp([1], [], 10) == {}


def test_stamps_of_this_century_keep_their_nanoseconds():
    now = 1_790_000_000_000_000_001
    assert pair_by_stamp([now], [now - 2, now + 1], 5) == {0: 1}

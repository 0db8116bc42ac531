# SPDX-License-Identifier: Apache-2.0
"""max_rate by the numbers."""

from itertools import pairwise

import pytest

from mtperception.ros.rate_limit import RateLimit


def passed(limit, max_rate, rate, start, seconds):
    """Times at which frames of a stream pass."""
    times = [start + i / rate for i in range(round(seconds * rate))]
    return [time for time in times if limit.passes(time, max_rate)]


@pytest.mark.parametrize(('rate', 'max_rate', 'count'), [(30, 10, 100), (30, 7, 70), (30, 40, 300), (5, 10, 50)])
def test_rates(rate, max_rate, count):
    assert len(passed(RateLimit(), max_rate, rate, 1000.0, 10)) == pytest.approx(count, abs=1)


def test_no_two_frames_are_closer_than_the_period_allows():
    limit = RateLimit()
    times = passed(limit, 2, 30, 0.0, 10) + passed(limit, 2, 30, 20.0, 10)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps) > 0.5 - 1 / 30 - 1e-9


def test_zero_is_no_limit():
    assert len(passed(RateLimit(), 0, 100, 0.0, 1)) == 100


def test_a_rate_that_is_raised_holds_at_once():
    """Not only when the frame would be due by the rate before: by 0.01 Hz that is after 100 s."""
    limit = RateLimit()
    assert len(passed(limit, 0.01, 30, 0.0, 1)) == 1
    assert len(passed(limit, 10, 30, 1.0, 10)) == pytest.approx(100, abs=1)


def test_a_rate_that_is_lowered_holds_from_the_next_frame_on():
    limit = RateLimit()
    assert len(passed(limit, 10, 30, 0.0, 1)) == pytest.approx(10, abs=1)
    assert len(passed(limit, 1, 30, 1.0, 10)) == pytest.approx(10, abs=1)

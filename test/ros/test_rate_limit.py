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

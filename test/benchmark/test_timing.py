# SPDX-License-Identifier: Apache-2.0
"""Functions take turns, and each is known by its own times."""

import time

import pytest

from mtperception.benchmark.timing import Budget, Latency, measure


def test_percentiles():
    """Of 0 to 100 ms in steps of 1 ms, percentile p is p ms."""
    latency = Latency.of([i / 1000 for i in range(101)])
    assert (latency.median_ms, latency.p90_ms, latency.p99_ms) == pytest.approx((50, 90, 99))
    assert latency.mean_ms == pytest.approx(50)
    assert latency.runs == 101


def test_iterations_alternate():
    order = []
    times = measure({'a': lambda: order.append('a'), 'b': lambda: order.append('b')}, Budget(iterations=3))
    assert ''.join(order) == 'ab' + 'ab' * 3  # one run of each that does not count
    assert {name: latency.runs for name, latency in times.items()} == {'a': 3, 'b': 3}


def test_within_seconds_a_fast_function_runs_more_often():
    """20 ms against 2 ms: about ten runs in each turn of the fast one, three rounds at least."""
    times = measure({'slow': lambda: time.sleep(0.02), 'fast': lambda: time.sleep(0.002)}, Budget(seconds=0))
    assert times['slow'].runs == 3
    assert 3 < times['fast'].runs <= 60
    assert times['slow'].median_ms >= 20
    assert times['fast'].median_ms >= 2


def test_seconds_are_kept():
    start = time.perf_counter()
    measure({'only': lambda: time.sleep(0.005)}, Budget(seconds=0.2))
    assert 0.2 <= time.perf_counter() - start < 2

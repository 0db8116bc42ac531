# SPDX-License-Identifier: Apache-2.0
"""What is counted, and how fast."""

import time

import pytest
from graph import observing

from mtperception.ros.frame_counter import FrameCounter


@pytest.fixture
def counter():
    with observing() as observer:
        yield FrameCounter(observer.node, 'counted')


def test_the_mean_rate_is_that_of_the_intervals(counter):
    """Of five there are four, however long each is."""
    before, after = [], []
    for count in range(5):
        assert counter.count == count
        before.append(time.monotonic())
        counter.add()
        after.append(time.monotonic())
        time.sleep(0.05 * count)
    assert counter.count == 5
    assert 4 / (after[-1] - before[0]) <= counter.mean_rate <= 4 / (before[-1] - after[0])


def test_there_is_no_rate_without_an_interval(counter):
    assert counter.mean_rate == 0.0
    counter.add()
    assert counter.mean_rate == 0.0

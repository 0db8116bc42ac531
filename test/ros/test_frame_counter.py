# SPDX-License-Identifier: Apache-2.0
"""What is counted, and how fast."""

from types import SimpleNamespace

import pytest
from graph import observing

from mtperception.ros import frame_counter as module
from mtperception.ros.frame_counter import FrameCounter


@pytest.fixture
def counter():
    with observing() as observer:
        yield FrameCounter(observer.node, 'counted')


def test_the_mean_rate_is_that_of_the_intervals(counter, monkeypatch):
    """Five in one second: four intervals."""
    times = iter([10.0, 10.2, 10.3, 10.9, 11.0])
    monkeypatch.setattr(module, 'time', SimpleNamespace(monotonic=lambda: next(times)))
    for count in range(5):
        assert counter.count == count
        counter.add()
    assert counter.count == 5
    assert counter.mean_rate == pytest.approx(4.0)


def test_there_is_no_rate_without_an_interval(counter):
    assert counter.mean_rate == 0.0
    counter.add()
    assert counter.mean_rate == 0.0

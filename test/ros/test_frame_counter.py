"""What is counted, and how fast."""

from types import SimpleNamespace

import pytest
from graph import observing

from mtperception.ros import frame_counter as module
from mtperception.ros.frame_counter import FrameCounter


@pytest.fixture
def tally():
    with observing() as observer:
        yield FrameCounter(observer.node, 'counted')


def test_the_mean_rate_is_that_of_the_intervals(tally, monkeypatch):
    """Five in one second: four intervals."""
    times = iter([10.0, 10.2, 10.3, 10.9, 11.0])
    monkeypatch.setattr(module, 'time', SimpleNamespace(monotonic=lambda: next(times)))
    for count in range(5):
        assert tally.count == count
        tally.add()
    assert tally.count == 5
    assert tally.mean_rate == pytest.approx(4.0)


def test_there_is_no_rate_without_an_interval(tally):
    assert tally.mean_rate == 0.0
    tally.add()
    assert tally.mean_rate == 0.0

# SPDX-License-Identifier: Apache-2.0
from itertools import islice

import numpy as np
import pytest

from mtperception.sources.source import Frame
from mtperception.sources.timeline import timeline


class Stamped:
    """A source whose frames have the given stamps in seconds."""

    description = 'frames made in a test'
    is_stream = True
    rate = 10.0

    def __init__(self, *seconds):
        self.seconds = seconds
        self.count = len(seconds)

    def __iter__(self):
        for index, second in enumerate(self.seconds):
            yield Frame(np.zeros((1, 1, 3), np.uint8), round(second * 1e9), None, str(index))


def dues(source, n=20, **options):
    return [round(due, 9) for due, _ in islice(timeline(source, **options), n)]


def test_own_stamps_count_from_the_first_frame():
    assert dues(Stamped(100.0, 100.5, 100.6)) == [0, 0.5, 0.6]


def test_a_rate_replaces_the_stamps():
    assert dues(Stamped(0, 5, 6), rate=10) == [0, 0.1, 0.2]


def test_a_loop_goes_on_after_the_mean_gap():
    assert dues(Stamped(0, 0.1, 0.4), n=5, loop=True) == [0, 0.1, 0.4, 0.6, 0.7]


def test_a_loop_at_a_rate_has_no_seam():
    assert dues(Stamped(0, 9), n=5, rate=4, loop=True) == [0, 0.25, 0.5, 0.75, 1.0]


def test_a_single_image_is_shown_ten_times_a_second():
    assert dues(Stamped(3), n=3, loop=True) == pytest.approx([0, 0.1, 0.2])


def test_a_source_without_frames_ends_even_in_a_loop():
    assert dues(Stamped(), loop=True) == []


def test_a_clock_that_was_set_is_not_waited_for():
    """From the time since the start of a machine to that of today, and back."""
    assert dues(Stamped(5.0, 5.1, 1.7e9, 1.7e9 + 0.1)) == [0, 0.1, 0.1, 0.2]
    assert dues(Stamped(1.7e9, 1.7e9 + 0.1, 5.0, 5.1)) == [0, 0.1, 0.1, 0.2]
    assert dues(Stamped(0, 600, 599.9, 600.1)) == [0, 600, 599.9, 600.1]

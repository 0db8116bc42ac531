# SPDX-License-Identifier: Apache-2.0
"""Images kept in memory."""

import numpy as np
import pytest

from mtperception.sources import SourceOptions, open_source
from mtperception.sources.preloaded import Preloaded
from mtperception.sources.timeline import timeline

OPTIONS = SourceOptions(64, 48, rate=10.0)


class Counting:
    """A source that counts how often an image is read from it."""

    def __init__(self):
        self._source = open_source('synthetic', OPTIONS)
        self.rate, self.is_stream, self.description = 10.0, True, 'a room'
        self.reads, self.notes, self.poses, self.label_space = 0, (), '', None

    def __iter__(self):
        for frame in self._source:
            self.reads += 1
            yield frame


def test_the_first_images_bit_by_bit():
    expected = [frame for frame, _ in zip(open_source('synthetic', OPTIONS), range(3), strict=False)]
    found = list(Preloaded(open_source('synthetic', OPTIONS), 3))
    assert [(frame.stamp_ns, frame.name) for frame in found] == [(frame.stamp_ns, frame.name) for frame in expected]
    np.testing.assert_array_equal([frame.image for frame in found], [frame.image for frame in expected])


def test_each_is_read_once_however_often_it_is_played():
    source = Counting()
    preloaded = Preloaded(source, 4)
    played = [due for (due, _), _ in zip(timeline(preloaded, loop=True), range(12), strict=False)]
    assert source.reads == 4
    assert played == pytest.approx(np.arange(12) / 10)  # at 10 Hz, without a seam


def test_what_it_says_of_itself():
    preloaded = Preloaded(Counting(), 4)
    assert (preloaded.count, preloaded.rate, preloaded.is_stream) == (4, 10.0, True)
    assert preloaded.description == '4 images of a room'


def test_a_source_that_has_fewer(tmp_path):
    source = open_source('synthetic', SourceOptions(64, 48, rate=0.1))  # a round of 40 s: four images
    assert source.count == 4
    assert Preloaded(source, 1000).count == 4


def test_it_reads_no_more_once_it_is_told_to_stop():
    source = Counting()
    assert Preloaded(source, 1000, stopped=lambda: source.reads == 3).count == 2
    assert source.reads == 3

# SPDX-License-Identifier: Apache-2.0
"""Shards are all items, each once, in order."""

from itertools import chain

import pytest

from mtperception.scale.shard import WHOLE, Shard


@pytest.mark.parametrize(('items', 'count'), [(10, 1), (10, 3), (3, 10), (0, 4), (654, 7)])
def test_together_they_are_all_items(items, count):
    shares = [Shard(number, count).positions(items) for number in range(1, count + 1)]
    assert list(chain(*shares)) == list(range(items))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_whole_is_one_shard():
    assert WHOLE.positions(5) == range(5)


def test_a_text_is_read_as_it_is_written():
    assert Shard.parse('2/4') == Shard(2, 4)
    assert str(Shard(2, 4)) == '2/4'


@pytest.mark.parametrize('text', ['0/4', '5/4', '1/0', '1', '1/2/3', '-1/4', 'a/b', '', '1.0/2', '١/٢'])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ValueError, match='expected I/N with I from 1 to N, such as 2/4'):
        Shard.parse(text)

# SPDX-License-Identifier: Apache-2.0
"""Regimes: sequences of batches worked by hand, and what all of them promise."""

import pytest

from mtperception.training.regimes import REGIMES, SHARED, BlitzNet, UberNet

TASKS = ('segmentation', 'depth')


def test_blitznet_updates_a_head_when_it_has_an_annotation():
    regime = BlitzNet(TASKS)
    assert regime.due(4, {'segmentation': 4, 'depth': 4}) == {SHARED, 'segmentation', 'depth'}
    assert regime.due(4, {'segmentation': 0, 'depth': 1}) == {SHARED, 'depth'}
    assert regime.due(4, {'segmentation': 0, 'depth': 0}) == {SHARED}


def test_ubernet_waits_for_10_and_30_examples():
    """Table III's numbers: batches of 8, of which all have depth and 2 have labels."""
    regime = UberNet(TASKS)
    due = [regime.due(8, {'segmentation': 2, 'depth': 8}) for _ in range(10)]
    # Depth: 8, 16 -> 0, 8, 16 -> 0 ...: every second. Segmentation: 2, 4, 6, 8, 10 -> 0: every fifth.
    # Shared: 8, 16, 24, 32 -> 0: every fourth.
    depth, segmentation, shared = {'depth'}, {'segmentation'}, {SHARED}
    nothing = set()
    assert due == [
        nothing,
        depth,
        nothing,
        depth | shared,
        segmentation,
        depth,
        nothing,
        depth | shared,
        nothing,
        depth | segmentation,
    ]


def test_ubernet_goes_on_counting():
    regime, later = UberNet(TASKS, 10, 30), UberNet(TASKS, 10, 30)
    assert regime.due(8, {'depth': 8}) == set()
    assert regime.state_dict() == {SHARED: 8, 'segmentation': 0, 'depth': 8}
    later.load_state_dict(regime.state_dict())
    assert later.due(8, {'depth': 2}) == {'depth'}
    assert regime.state_dict()['depth'] == 8  # they share nothing


@pytest.mark.parametrize('examples', [(0, 30), (10, 0)])
def test_ubernet_that_waits_for_nothing(examples):
    with pytest.raises(ValueError, match='expected 1 or more'):
        UberNet(TASKS, *examples)


@pytest.mark.parametrize('name', REGIMES)
class TestEveryRegime:
    """What the trainer relies on, whatever the regime."""

    def test_every_part_gets_its_turn(self, name):
        regime = REGIMES[name](TASKS)
        due = set().union(*(regime.due(8, {'segmentation': 1, 'depth': 8}) for _ in range(20)))
        assert due == {SHARED, *TASKS}

    def test_a_head_without_annotations_is_never_due(self, name):
        regime = REGIMES[name](TASKS)
        assert not any('segmentation' in regime.due(8, {'segmentation': 0, 'depth': 8}) for _ in range(20))

    def test_its_state_goes_round(self, name):
        regime, later = REGIMES[name](TASKS), REGIMES[name](TASKS)
        regime.due(7, {'segmentation': 3, 'depth': 7})
        later.load_state_dict(regime.state_dict())
        batches = [{'segmentation': index % 3, 'depth': 7} for index in range(20)]
        assert [later.due(7, each) for each in batches] == [regime.due(7, each) for each in batches]

# SPDX-License-Identifier: Apache-2.0
"""What belongs together is put together, whatever the order and the clock."""

from mtperception.mapping.stamped_sets import WAITING, StampedSets

NEEDED = ('depth', 'labels')


def sets():
    """And the stamps of those that are given up, with the names of their parts."""
    given_up = []
    return StampedSets(lambda stamp, parts: given_up.append((stamp, set(parts)))), given_up


def test_parts_in_any_order():
    waiting, given_up = sets()
    assert waiting.add('labels', 7, 'L', NEEDED) is None
    assert waiting.add('image', 7, 'I', NEEDED) is None
    assert waiting.add('depth', 7, 'D', NEEDED) == {'labels': 'L', 'image': 'I', 'depth': 'D'}
    assert given_up == []


def test_what_began_before_a_complete_set_is_given_up():
    waiting, given_up = sets()
    waiting.add('depth', 1, 'D', NEEDED)
    waiting.add('image', 2, 'I', NEEDED)
    waiting.add('depth', 3, 'D', NEEDED)
    waiting.add('depth', 4, 'D', NEEDED)
    assert waiting.add('labels', 3, 'L', NEEDED) is not None
    assert given_up == [(1, {'depth'}), (2, {'image'})]
    assert waiting.add('labels', 4, 'L', NEEDED) is not None


def test_sets_that_lack_only_what_need_not_come_are_given_up():
    waiting, given_up = sets()
    for stamp in (1, 2, 3):
        for name in NEEDED[: 1 if stamp == 2 else 2]:
            waiting.add(name, stamp, name, (*NEEDED, 'image'))
    waiting.give_up_lacking(NEEDED, 3)
    assert given_up == [(1, set(NEEDED))]


def test_a_clock_that_is_set_back_stops_nothing():
    """As many sets as may wait are of the time before; what comes after has smaller stamps."""
    waiting, given_up = sets()
    for stamp in range(1000, 1000 + WAITING):
        waiting.add('image', stamp, 'I', NEEDED)
    for stamp in range(3):
        assert waiting.add('depth', stamp, 'D', NEEDED) is None
        assert waiting.add('labels', stamp, 'L', NEEDED) is not None
    assert given_up == [(stamp, {'image'}) for stamp in range(1000, 1000 + WAITING)]


def test_an_image_waits_for_what_is_made_of_it():
    """At 60 Hz, and answers after almost a second."""
    waiting, given_up = sets()
    for stamp in range(WAITING):
        waiting.add('image', stamp, stamp, NEEDED)
    waiting.add('depth', 0, 'D', NEEDED)
    assert waiting.add('labels', 0, 'L', NEEDED)['image'] == 0
    waiting.add('image', WAITING, 0, NEEDED)
    waiting.add('image', WAITING + 1, 0, NEEDED)
    assert given_up == [(1, {'image'})]
    waiting.clear()
    assert given_up == [(1, {'image'})]

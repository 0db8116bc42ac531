# SPDX-License-Identifier: Apache-2.0
"""Who is told of changed blocks, and of nothing else, has the same points."""

import numpy as np

from mtperception.mapping.block_changes import BlockChanges
from mtperception.messages.point_cloud import POINT


def points(*rows):
    made = np.zeros(len(rows), POINT)
    for name, values in zip(('x', 'y', 'z'), np.array(rows, np.float32).reshape(-1, 3).T, strict=True):
        made[name] = values
    return made


BLOCKS = np.array([[0, 0, 0], [0, 0, 0], [-3, 2, 1], [7, -(2**19), 5]], np.int32)
POINTS = points((0, 0, 0), (0.1, 0, 0), (-1, 1, 0.5), (3, -1e5, 2))


def test_at_first_all_is_new_and_then_nothing():
    changes = BlockChanges()
    assert changes.update(POINTS, BLOCKS).changed.all()
    again = changes.update(POINTS[::-1], BLOCKS[::-1])  # the order of points says nothing
    assert not again.any
    assert len(again.changed) == 4


def test_all_points_of_a_block_are_told_if_one_differs():
    changes = BlockChanges()
    changes.update(POINTS, BLOCKS)
    moved = POINTS.copy()
    moved['label'][1] = 3
    update = changes.update(moved, BLOCKS)
    assert update.changed.tolist() == [True, True, False, False]
    assert not len(update.emptied)


def test_a_point_more_or_less_is_a_change():
    changes = BlockChanges()
    changes.update(POINTS, BLOCKS)
    assert changes.update(POINTS[1:], BLOCKS[1:]).changed.tolist() == [True, False, False]
    twice = np.concatenate([POINTS[1:], POINTS[3:]])
    update = changes.update(twice, np.concatenate([BLOCKS[1:], BLOCKS[3:]]))
    assert update.changed.tolist() == [False, False, True, True]


def test_blocks_that_lost_all_their_points_are_named():
    changes = BlockChanges()
    changes.update(POINTS, BLOCKS)
    update = changes.update(POINTS[:2], BLOCKS[:2])
    assert not update.changed.any()
    assert sorted(update.emptied.tolist()) == sorted(BLOCKS[2:].tolist())
    assert sorted(changes.update(POINTS[:0], BLOCKS[:0]).emptied.tolist()) == [[0, 0, 0]]
    back = changes.update(POINTS, BLOCKS)
    assert back.changed.all()
    assert not len(back.emptied)


def test_points_of_random_maps():
    """Against a dictionary of sets."""
    generator, changes, before = np.random.default_rng(0), BlockChanges(), {}
    for _ in range(20):
        count = int(generator.integers(0, 60))
        blocks = generator.integers(-2, 2, (count, 3)).astype(np.int32)
        made = points(*generator.integers(0, 2, (count, 3)))
        now = {}
        for block, point in zip(map(tuple, blocks.tolist()), made.tolist(), strict=True):
            now.setdefault(block, []).append(point)
        now = {block: sorted(rows) for block, rows in now.items()}
        update = changes.update(made, blocks)
        expected = [now[block] != before.get(block) for block in map(tuple, blocks.tolist())]
        assert update.changed.tolist() == expected
        assert {tuple(key) for key in update.emptied.tolist()} == before.keys() - now.keys()
        before = now

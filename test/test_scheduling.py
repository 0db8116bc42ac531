# SPDX-License-Identifier: Apache-2.0
"""The order of the tests when several workers share them."""

from pathlib import Path

import pytest

pytest.importorskip('xdist')
scheduling = pytest.importorskip('scheduling')


def test_nodes_begin_then_the_slowest_then_the_others():
    paths = ['test_card.py', scheduling.SLOWEST[1], 'ros/test_perception_node_life.py', scheduling.SLOWEST[0]]
    assert sorted(paths, key=scheduling.begins) == [paths[2], paths[3], paths[1], paths[0]]


def test_the_slowest_are_there():
    """A module that was renamed would begin last, unnoticed."""
    tests = Path(__file__).parent
    assert [path for path in scheduling.SLOWEST if not (tests / path).is_file()] == []

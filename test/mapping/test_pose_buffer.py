# SPDX-License-Identifier: Apache-2.0
"""The newest poses of a stream, whatever order they come in."""

import numpy as np
import pytest

from mtperception.mapping.pose_buffer import KEPT, PoseBuffer

MS = 1_000_000


def at_x(x):
    return np.array([x, 0, 0, 0, 0, 0, 1.0])


def buffer(*seconds):
    """Of a body that moves 1 m/s."""
    poses = PoseBuffer(0.05)
    for second in seconds:
        poses.add(round(second * 1e9), at_x(second))
    return poses


def test_between_two_poses_it_is_interpolated():
    assert buffer(1.0, 2.0).at(1250 * MS)[0, 3] == pytest.approx(1.25)


def test_a_pose_that_comes_late_takes_its_place():
    poses = buffer(1.0, 1.1, 1.3, 1.2)
    assert poses.newest_ns == 1300 * MS
    assert [poses.at(stamp * MS)[0, 3] for stamp in (1000, 1150, 1250)] == pytest.approx([1.0, 1.15, 1.25])


def test_after_the_clock_was_set_back_the_old_ones_are_gone():
    poses = buffer(100.0, 101.0, 5.0)
    assert poses.newest_ns == 5000 * MS
    assert poses.at(100_500 * MS) is None


def test_what_is_no_pose_is_passed_over():
    poses = buffer(1.0, 1.2)
    poses.add(1100 * MS, np.zeros(7))
    poses.add(1150 * MS, at_x(np.nan))
    assert poses.at(1100 * MS)[0, 3] == pytest.approx(1.1)


def test_the_oldest_make_room():
    poses = buffer(*(step / 100 for step in range(KEPT + 10)))
    assert poses.at(0) is None
    assert poses.at(200 * MS)[0, 3] == pytest.approx(0.2)

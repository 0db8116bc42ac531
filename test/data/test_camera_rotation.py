# SPDX-License-Identifier: Apache-2.0
"""A turned camera: the room is rendered from the same place with the turned camera, and compared."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mtperception.data.camera_rotation import rotated
from mtperception.synthetic import SyntheticRoom, pose
from mtperception.types import Intrinsics, Sample

ROOM = SyntheticRoom(160, 120, 130.0)
GREY = (124, 116, 104)


@pytest.mark.parametrize(('pitch', 'roll'), [(0.0, 0.0), (0.12, 0.0), (-0.12, 0.0), (0.0, 0.15), (0.1, -0.1)], ids=str)
def test_it_is_what_the_turned_camera_sees(pitch, roll):
    before = ROOM.render(pose(3.0))
    # Points of the old camera frame are turned into the new one: X' = R X.
    turn = np.eye(4)
    turn[:3, :3] = (Rotation.from_rotvec([0, 0, roll]) * Rotation.from_rotvec([pitch, 0, 0])).as_matrix()
    expected = ROOM.render(pose(3.0) @ np.linalg.inv(turn))

    found = rotated(before, before.intrinsics, pitch, roll, GREY)
    known = found.depth > 0
    assert known.mean() > 0.75
    assert np.array_equal(known, found.labels != 255)
    assert (found.labels == expected.labels)[known].mean() > 0.96  # the rest are edges, of the nearest pixel
    error = np.abs(found.depth - expected.depth)[known] / expected.depth[known]
    assert np.median(error) < 0.004
    assert np.quantile(error, 0.95) < 0.03
    assert np.median(np.abs(found.image.astype(int) - expected.image)[known]) <= 2


def test_a_turn_by_hand():
    """A wall at 2 m, straight ahead; pitched by 45 degrees, the camera sees its middle a focal length further up."""
    camera = Intrinsics(40.0, 40.0, 50.0, 50.0, 101, 101)
    image = np.zeros((101, 101, 3), np.uint8)
    image[50, 50] = 255
    wall = Sample(image, np.full((101, 101), 3, np.uint8), np.full((101, 101), 2.0, np.float32), camera)
    turned = rotated(wall, camera, np.pi / 4, 0.0, GREY)
    # The point (0, 0, 2) becomes (0, -sqrt 2, sqrt 2): 40 pixels above the middle, at a depth of sqrt 2.
    assert turned.image[10, 50].tolist() == [255, 255, 255]
    assert turned.depth[10, 50] == pytest.approx(np.sqrt(2), abs=1e-5)
    assert turned.image[100, 50].tolist() == list(GREY)
    assert (turned.depth[100, 50], turned.labels[100, 50]) == (0, 255)


def test_pixels_need_not_be_square_nor_the_axis_in_the_middle():
    """A point at (0.5, 0, 2), rolled by a right angle: (0, 0.5, 2), in focal lengths of its own axis."""
    camera = Intrinsics(40.0, 80.0, 20.0, 30.0, 61, 81)
    image = np.zeros((81, 61, 3), np.uint8)
    image[30, 20 + 10] = 255
    wall = Sample(image, None, np.full((81, 61), 2.0, np.float32), camera)
    rolled = rotated(wall, camera, 0.0, np.pi / 2, GREY)
    assert rolled.image[30 + 20, 20].tolist() == [255, 255, 255]
    assert rolled.depth[30 + 20, 20] == 2


def test_what_is_not_known_stays_unknown():
    before = ROOM.render(pose(1.0))
    holes = Sample(before.image, None, np.where(before.depth > 3, 0, before.depth), before.intrinsics)
    turned = rotated(holes, before.intrinsics, 0.1, 0.1, GREY)
    assert turned.labels is None
    assert 0.1 < (turned.depth > 0).mean() < (rotated(before, before.intrinsics, 0.1, 0.1, GREY).depth > 0).mean()
    assert rotated(Sample(before.image), before.intrinsics, 0.1, 0.0, GREY).depth is None

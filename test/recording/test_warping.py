# SPDX-License-Identifier: Apache-2.0
"""A plane that faces the camera moves in the image by focal length times shift over distance."""

import numpy as np
import pytest
from recordings import translation

from mtperception.recording.warping import warp_depth
from mtperception.synthetic import SyntheticRoom, pose
from mtperception.types import Intrinsics

CAMERA = Intrinsics(100.0, 100.0, 19.5, 14.5, 40, 30)


def plane(distance):
    return np.full((30, 40), distance, np.float32)


def test_no_motion_changes_nothing():
    depth = np.random.default_rng(0).uniform(1, 9, (30, 40)).astype(np.float32)
    depth[3, 5] = 0
    warp = warp_depth(depth, CAMERA, CAMERA, np.eye(4))
    np.testing.assert_array_equal(warp.depth, depth)
    expected = np.arange(1200).reshape(30, 40)
    expected[3, 5] = -1
    np.testing.assert_array_equal(warp.source, expected)


def test_a_sideways_step():
    """Points move by +0.1 m in the other camera's frame: 100 px * 0.1 m / 2 m = 5 px to the right."""
    warp = warp_depth(plane(2), CAMERA, CAMERA, translation(x=0.1))
    np.testing.assert_array_equal(warp.source[:, :5], -1)
    np.testing.assert_array_equal(warp.depth[:, :5], 0)
    np.testing.assert_allclose(warp.depth[:, 5:], 2)
    np.testing.assert_array_equal(warp.source[7, 5:], 7 * 40 + np.arange(35))


def test_a_step_forward_leaves_no_gaps():
    """From 2 m to 1 m everything is twice as large; the plane is then 1 m away, all over the image."""
    warp = warp_depth(plane(2), CAMERA, CAMERA, translation(z=-1))
    np.testing.assert_allclose(warp.depth, 1)


def test_the_nearer_surface_hides_the_further():
    """A strip of columns 10..14 at 1 m before a wall at 2 m moves 10 px, the wall 5 px."""
    depth = plane(2)
    depth[:, 10:15] = 1
    warp = warp_depth(depth, CAMERA, CAMERA, translation(x=0.1))
    row = warp.depth[0]
    np.testing.assert_allclose(row[20:25], 1)
    np.testing.assert_allclose(row[25:], 2)
    np.testing.assert_array_equal(row[15:20], 0)  # where the strip was, 5 px on: nobody has looked there
    np.testing.assert_allclose(row[5:15], 2)


def test_another_camera_of_other_size():
    """Twice the focal length on twice the size, half-pixel centres: each pixel becomes two by two."""
    depth = np.random.default_rng(1).uniform(1, 9, (30, 40)).astype(np.float32)
    warp = warp_depth(depth, CAMERA, CAMERA.resized(80, 60), np.eye(4))
    np.testing.assert_array_equal(warp.depth, depth.repeat(2, axis=0).repeat(2, axis=1))


def test_what_is_behind_the_other_camera_is_not_seen():
    warp = warp_depth(plane(2), CAMERA, CAMERA, translation(z=-3))
    assert not warp.depth.any()
    assert (warp.source == -1).all()


def test_nothing_to_warp():
    assert not warp_depth(plane(0), CAMERA, CAMERA, np.eye(4)).depth.any()


def test_exact_depth_of_a_scene_comes_out_as_the_scene_from_there():
    """Two views of the room, a tenth of a second apart: where the first view's points land, they are where the second
    sees a surface, but for pixels at the edges of things."""
    room = SyntheticRoom(96, 72)
    first, second = room.frame(3.0), room.frame(3.1)
    warp = warp_depth(first.depth, room.intrinsics, room.intrinsics, np.linalg.inv(pose(3.1)) @ pose(3.0))
    seen = warp.source >= 0
    assert seen.mean() > 0.9
    error = np.abs(warp.depth - second.depth)[seen] / second.depth[seen]
    assert np.median(error) < 0.01
    assert np.mean(first.labels.reshape(-1)[warp.source[seen]] == second.labels[seen]) > 0.95


@pytest.mark.parametrize('distance', [0.01, 0.001])
def test_what_comes_very_near_stays_bounded(distance):
    depth = plane(5)
    depth[15, 20] = 1
    warp = warp_depth(depth, CAMERA, CAMERA, translation(z=distance - 1))
    assert np.count_nonzero(warp.depth == np.float32(distance)) <= 64


def test_a_camera_whose_pixels_are_not_square():
    camera = Intrinsics(100.0, 50.0, 19.5, 14.5, 40, 30)
    depth = np.random.default_rng(0).uniform(1, 9, (30, 40)).astype(np.float32)
    np.testing.assert_array_equal(warp_depth(depth, camera, camera, np.eye(4)).depth, depth)

# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from mtperception.geometry import (
    back_project,
    depth_edges,
    depth_in_millimeters,
    depth_in_units,
    focal_scale,
    normals_from_depth,
    project,
)
from mtperception.synthetic import pose
from mtperception.types import Intrinsics

CAMERA = Intrinsics(fx=50.0, fy=40.0, cx=31.5, cy=23.5, width=64, height=48)


def plane_depth(normal, distance, camera=CAMERA):
    """Depth of the plane normal.P = distance, in double precision."""
    u, v = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, np.ones(u.shape)], axis=-1)
    return (distance / (rays @ np.asarray(normal))).astype(np.float32)


def unit(*vector):
    return np.array(vector) / np.linalg.norm(vector)


class TestProject:
    def test_every_point_of_an_image_comes_back_to_its_pixel(self):
        generator = np.random.default_rng(0)
        depth = generator.uniform(0.5, 5, (48, 64)).astype(np.float32)
        moved = pose(3.0)
        points = back_project(depth, CAMERA).reshape(-1, 3) @ moved[:3, :3].T + moved[:3, 3]
        index, rows, columns, z = project(points, np.linalg.inv(moved), CAMERA)
        np.testing.assert_array_equal(index, np.arange(48 * 64))
        np.testing.assert_array_equal(rows * 64 + columns, index)
        np.testing.assert_allclose(z, depth.ravel(), rtol=1e-5)

    def test_what_is_behind_or_beside_the_image_is_left_out(self):
        """The image ends half a pixel beyond the centres of its outer pixels."""
        x, y = (63.4 - 31.5) / 50, (47.4 - 23.5) / 40
        points = np.array([[0, 0, -1], [x, 0, 1], [2 * x, 2 * y, 2], [x + 0.02, 0, 1], [0, y + 0.02, 1], [0, 0, 0]])
        index, rows, columns, z = project(points.astype(np.float32), np.eye(4), CAMERA)
        assert (index.tolist(), columns.tolist(), rows.tolist()) == ([1, 2], [63, 63], [24, 47])
        np.testing.assert_allclose(z, [1, 2])


class TestBackProject:
    def test_one_point_by_hand(self):
        depth = np.full((48, 64), 1.0, np.float32)
        depth[10, 60] = 2.0
        point = back_project(depth, CAMERA)[10, 60]
        # x = 2 (60 - 31.5) / 50, y = 2 (10 - 23.5) / 40
        np.testing.assert_allclose(point, [1.14, -0.675, 2.0], rtol=1e-6)

    def test_points_of_a_plane_lie_on_it(self):
        normal = unit(0.3, -0.5, 0.8)
        points = back_project(plane_depth(normal, 1.7), CAMERA)
        assert points.shape == (48, 64, 3)
        assert points.dtype == np.float32
        np.testing.assert_allclose(points @ normal, 1.7, rtol=1e-5)

    @pytest.mark.parametrize('invalid', [0.0, -1.0, np.nan, np.inf, -np.inf])
    def test_invalid_depth_is_nan_in_all_three_and_nowhere_else(self, invalid):
        depth = np.ones((48, 64), np.float32)
        depth[5, 7] = invalid
        nan = np.isnan(back_project(depth, CAMERA))
        assert nan[5, 7].all()
        assert nan.sum() == 3

    @pytest.mark.parametrize(('stride', 'shape'), [(2, (24, 32)), (5, (10, 13)), (100, (1, 1))])
    def test_every_nth_pixel_is_where_it_was(self, stride, shape):
        depth = np.random.default_rng(0).uniform(0.5, 5, (48, 64)).astype(np.float32)
        points = back_project(depth[::stride, ::stride], CAMERA.sampled(stride))
        assert points.shape[:2] == shape
        np.testing.assert_allclose(points, back_project(depth, CAMERA)[::stride, ::stride], rtol=1e-6, atol=1e-6)

    def test_depth_is_left_as_it_was(self):
        depth = np.zeros((48, 64), np.float32)
        back_project(depth, CAMERA)
        assert not depth.any()

    def test_two_cameras_of_one_size_are_not_confused(self):
        depth = np.ones((48, 64), np.float32)
        other = Intrinsics(fx=100.0, fy=40.0, cx=31.5, cy=23.5, width=64, height=48)
        back_project(depth, CAMERA)
        assert back_project(depth, other)[0, 0, 0] == pytest.approx(-31.5 / 100)

    def test_foreign_intrinsics_are_refused(self):
        with pytest.raises(ValueError, match=r'shape \(24, 32\).*64 x 48 image.*resized'):
            back_project(np.ones((24, 32), np.float32), CAMERA)


class TestFocalScale:
    def test_same_camera_is_one(self):
        assert focal_scale(518.0, 640, 640, 518.0) == 1

    def test_longer_lens_puts_things_further_away(self):
        assert focal_scale(1036.0, 640, 640, 518.0) == 2

    def test_a_larger_image_of_the_same_camera_is_the_same_camera(self):
        assert focal_scale(1036.0, 1280, 640, 518.0) == 1

    def test_by_hand(self):
        # fx 900 at 1200 wide is 450 at the network's 600; the network was trained at 500
        assert focal_scale(900.0, 1200, 600, 500.0) == pytest.approx(0.9)

    @pytest.mark.parametrize('arguments', [(0.0, 640, 640, 518.0), (518.0, 0, 640, 518.0), (518.0, 640, 640, -1.0)])
    def test_nothing_is_invented_from_an_uncalibrated_camera(self, arguments):
        with pytest.raises(ValueError, match='expected positive'):
            focal_scale(*arguments)


class TestNormals:
    def test_wall_in_front_faces_the_camera(self):
        normals = normals_from_depth(np.full((48, 64), 3.0, np.float32), CAMERA)
        assert normals.shape == (48, 64, 3)
        assert normals.dtype == np.float32
        np.testing.assert_allclose(normals, np.broadcast_to([0.0, 0.0, -1.0], normals.shape), atol=1e-4)

    @pytest.mark.parametrize('window', [3, 5, 9, 21])
    @pytest.mark.parametrize('normal', [(0.0, 1.0, 0.6), (0.7, 0.1, 0.7), (-0.5, -0.5, 0.7)])
    def test_slanted_plane_up_to_the_image_border(self, normal, window):
        normal = unit(*normal)
        depth = plane_depth(normal, 1.5)
        depth[(depth < 0) | (depth > 20)] = 0  # behind the camera or about the horizon
        normals = normals_from_depth(depth, CAMERA, window)
        angles = np.degrees(np.arccos(np.clip(normals[depth > 0] @ -normal, -1, 1)))
        assert (np.linalg.norm(normals[depth > 0], axis=-1) > 0).mean() > 0.95
        assert np.nanmax(angles[np.linalg.norm(normals[depth > 0], axis=-1) > 0]) < 0.5

    def test_unit_length_or_zero(self):
        depth = np.random.default_rng(0).uniform(0, 3, (48, 64)).astype(np.float32)
        depth[depth < 1.5] = 0
        length = np.linalg.norm(normals_from_depth(depth, CAMERA, 5), axis=-1)
        assert ((length == 0) | (np.abs(length - 1) < 1e-5)).all()
        assert 0 < (length > 0).mean() < 1

    def test_holes_neither_bend_the_plane_nor_get_a_normal(self):
        normal = unit(0.2, 0.4, 0.9)
        depth = plane_depth(normal, 2.0)
        depth[::3, ::4] = np.nan
        normals = normals_from_depth(depth, CAMERA, 7)
        assert not normals[::3, ::4].any()
        inner = np.isfinite(depth)
        inner[[0, 1, 2, -3, -2, -1]] = False
        np.testing.assert_allclose(normals[inner] @ -normal, 1, atol=1e-5)

    def test_too_few_neighbours_give_no_normal(self):
        depth = np.zeros((48, 64), np.float32)
        depth[20, 10:50] = 2.0  # a line of pixels fits any plane through it
        depth[40, 40] = 2.0
        assert not normals_from_depth(depth, CAMERA, 5).any()

    def test_a_wide_window_averages_out_coarse_steps(self):
        camera = Intrinsics(525.0, 525.0, 79.5, 59.5, 160, 120)
        normal = unit(0.4, 0.5, 0.75)
        steps = np.float32(0.039)
        depth = np.round(plane_depth(normal, 1.8, camera) / steps) * steps
        cosine = normals_from_depth(depth, camera, 41)[30:-30, 30:-30] @ -normal
        assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean() < 6
        narrow = normals_from_depth(depth, camera, 5)[30:-30, 30:-30] @ -normal
        assert np.degrees(np.arccos(np.clip(narrow, -1, 1))).mean() > 20

    @pytest.mark.parametrize('window', [1, 4, -3])
    def test_window_must_be_odd(self, window):
        with pytest.raises(ValueError, match='odd number'):
            normals_from_depth(np.ones((48, 64), np.float32), CAMERA, window)

    def test_foreign_intrinsics_are_refused(self):
        with pytest.raises(ValueError, match='64 x 48 image'):
            normals_from_depth(np.ones((24, 32), np.float32), CAMERA)


@pytest.mark.parametrize(
    ('per_meter', 'expected'),
    [
        # 1 mm: 0.4 and 0.6 mm are rounded; 65.535 m is the last that 16 bits hold
        (1000, [0, 1, 1500, 13107, 13108, 65535, 0, 0, 0, 0]),
        # 0.2 mm: 13.107 m is the last
        (5000, [2, 3, 7500, 65535, 0, 0, 0, 0, 0, 0]),
    ],
)
def test_depth_in_integers(per_meter, expected):
    depth = np.array([[0.0004, 0.0006, 1.5, 13.107, 13.108, 65.535, 65.536, 0, np.nan, -1]], np.float32)
    units = depth_in_units(depth, per_meter)
    assert units.dtype == np.uint16
    assert units[0].tolist() == expected
    if per_meter == 1000:
        np.testing.assert_array_equal(depth_in_millimeters(depth), units)


def test_depth_edges_by_hand():
    depth = np.array([[1.0, 1.04, 1.2, 1.25, 0.0, 5.0, 5.0]], np.float32)
    # 1.2 is more than 10 % beyond 1.04, and so a neighbour of each is at the step; what is invalid makes none.
    np.testing.assert_array_equal(depth_edges(depth, 0.1), [[False, True, True, False, False, False, False]])
    assert not depth_edges(depth, 0).any()


def test_a_slanted_floor_has_no_depth_edges():
    rows = np.arange(60, 240, dtype=np.float32)
    floor = np.repeat((1.4 * 250 / (rows - 40))[:, None], 320, axis=1)  # from 17 m down to 1.75 m
    assert depth_edges(floor, 0.11).mean() == 0
    with pytest.raises(ValueError, match='expected 0'):
        depth_edges(floor, -1)

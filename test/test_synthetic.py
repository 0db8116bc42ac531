# SPDX-License-Identifier: Apache-2.0
from itertools import pairwise

import cv2
import numpy as np
import pytest

from mtperception.geometry import back_project
from mtperception.labels import load_label_space
from mtperception.synthetic import PERIOD, SyntheticRoom, pose
from mtperception.synthetic.atlas import build_atlas
from mtperception.synthetic.scene import ROOM, faces, furniture

SPACE = load_label_space('nyuv2_40')
EAST, NORTH, UP = np.eye(3)
TIMES = np.linspace(0, PERIOD, 12, endpoint=False)


@pytest.fixture(scope='module')
def room():
    return SyntheticRoom()


@pytest.fixture(scope='module')
def walk(room):
    """(sample, T_world_camera) along the walk."""
    return [(room.frame(seconds), pose(seconds)) for seconds in TIMES]


def camera_at(position, right, down):
    """Pose of a camera whose image axes point along two directions of the world."""
    T_world_camera = np.eye(4)
    T_world_camera[:3] = np.column_stack([right, down, np.cross(right, down), position])
    return T_world_camera


def in_box(box, points):
    """Vectors (..., 3) of the world in the axes of a box."""
    angle = np.radians(-box.yaw)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    return points @ turn.T


def cast(position, direction):
    """The nearest surface along a ray: its distance in lengths of `direction`, and the classes that are there.

    One ray and one box at a time, by slabs: nothing is shared with the renderer.
    """
    exits = (np.where(direction > 0, ROOM, 0) - position) / direction
    shell = 'wall' if np.argmin(exits) < 2 else 'ceiling' if direction[2] > 0 else 'floor'
    hits = [(exits.min(), shell)]
    for box in furniture():
        start, along = in_box(box, position - np.array(box.at)), in_box(box, direction)
        low = np.array([-box.size[0] / 2, -box.size[1] / 2, 0])
        near, far = np.sort([(low - start) / along, (low + box.size - start) / along], axis=0)
        if 0 < near.max() < far.min():
            hits.append((near.max(), box.label))
    nearest = min(hits)[0]
    return nearest, {label for distance, label in hits if distance < nearest + 1e-6}


def assert_as_cast(sample, T_world_camera, pixels):
    camera = sample.intrinsics
    for u, v in pixels:
        ray = np.array([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1.0])
        depth, labels = cast(T_world_camera[:3, 3], T_world_camera[:3, :3] @ ray)
        assert sample.depth[v, u] == pytest.approx(depth, rel=2e-5), (u, v)
        assert SPACE.names[sample.labels[v, u]] in labels, (u, v)


def world_points(sample, T_world_camera):
    """H,W,3: where in the room each pixel's surface is."""
    return back_project(sample.depth, sample.intrinsics) @ T_world_camera[:3, :3].T + T_world_camera[:3, 3]


def is_free(position):
    """Whether a place is in no box."""
    for box in furniture():
        local = in_box(box, position - np.array(box.at))
        if (np.abs(local[:2]) <= np.array(box.size[:2]) / 2 + 0.01).all() and -0.01 <= local[2] <= box.size[2] + 0.01:
            return False
    return True


def free_poses(count):
    """Poses anywhere in the free space of the room, turned any way."""
    rng = np.random.default_rng(0)
    while count:
        position, axes = rng.uniform(0.02, 0.98, 3) * ROOM, np.linalg.qr(rng.normal(size=(3, 3)))[0]
        if is_free(position):
            count -= 1
            yield camera_at(position, axes[0], axes[1])


class TestExactness:
    def test_wall_by_hand(self, room):
        # from x = 2 to the east wall at x = 7; depth is along the axis, so off-centre pixels have the same
        sample = room.render(camera_at((2.0, 3.0, 1.9), -NORTH, -UP))
        assert SPACE.names[sample.labels[200, 320]] == 'wall'
        np.testing.assert_allclose(sample.depth[200, [100, 320, 420]], 5.0, rtol=1e-6)

    def test_ceiling_by_hand(self, room):
        sample = room.render(camera_at((2.0, 3.0, 1.6), EAST, NORTH))
        np.testing.assert_allclose(sample.depth, 1.0, rtol=1e-6)
        assert (sample.labels == SPACE.names.index('ceiling')).all()

    def test_floor_and_bed_by_hand(self, room):
        # Straight down from 2 m: right is east, down is south. The bed's cover ends 0.295 m to the west, its
        # top 0.5 m high, so its edge is at column 319.5 - 525 * 0.295 / 1.5 = 216.25: the last pixel of the top is 216,
        # and 217 shows the side, where the ray has gone 0.295 m to the west.
        sample = room.render(camera_at((2.4, 4.2, 2.0), EAST, -NORTH))
        assert [SPACE.names[label] for label in sample.labels[240, [216, 217, 320]]] == ['bed', 'bed', 'floor']
        expected = [1.5, 525 * 0.295 / (319.5 - 217), 2.0]
        np.testing.assert_allclose(sample.depth[240, [216, 217, 320]], expected, rtol=1e-6)

    def test_pixels_of_the_walk(self, walk):
        rng = np.random.default_rng(1)
        for sample, T_world_camera in walk:
            pixels = np.column_stack([rng.integers(0, 640, 50), rng.integers(0, 480, 50)]).tolist()
            assert_as_cast(sample, T_world_camera, pixels)

    def test_pixels_from_anywhere(self):
        room = SyntheticRoom(160, 120, 80.0)
        pixels = [(u, v) for u in (0, 31, 80, 122, 159) for v in (0, 22, 60, 97, 119)]
        for T_world_camera in free_poses(60):
            assert_as_cast(room.render(T_world_camera), T_world_camera, pixels)

    def test_every_pixel_has_a_depth_and_a_class(self):
        room = SyntheticRoom(101, 77, 30.0)
        for T_world_camera in free_poses(60):
            sample = room.render(T_world_camera)
            assert np.isfinite(sample.depth).all()
            assert sample.depth.min() > 0
            assert sample.depth.max() < np.linalg.norm(ROOM)
            assert sample.labels.max() < len(SPACE)

    def test_principal_point_and_focal_length_are_those_stated(self):
        room = SyntheticRoom(201, 151, 170.0)
        assert (room.intrinsics.fx, room.intrinsics.cx, room.intrinsics.cy) == (170.0, 100.0, 75.0)
        assert_as_cast(room.frame(3.0), pose(3.0), [(0, 0), (200, 0), (0, 150), (200, 150), (100, 75)])

    def test_every_width_has_the_same_view_unless_told_otherwise(self):
        assert SyntheticRoom().intrinsics.fx == 525
        assert SyntheticRoom(320, 240).intrinsics.fx == 262.5

    def test_a_camera_outside_is_refused(self, room):
        with pytest.raises(ValueError, match='expected a place in the room'):
            room.render(camera_at((1.0, 1.0, 2.7), EAST, -UP))

    def test_few_enough_faces_for_their_index(self):
        scene = faces(furniture())
        origins, normals = np.array([face.origin for face in scene]), np.array([face.normal for face in scene])
        places = np.random.default_rng(0).uniform(0, 1, (20_000, 3)) * ROOM
        facing = (places @ normals.T) > (origins * normals).sum(axis=1)
        assert facing.sum(axis=1).max() < 255


class TestGeometry:
    def test_points_of_all_frames_meet_on_the_same_planes(self, walk):
        planes = {'floor': (2, 0.0), 'ceiling': (2, 2.6), 'floor mat': (2, 0.01)}
        for name, (axis, value) in planes.items():
            seen = 0
            for sample, T_world_camera in walk:
                points = world_points(sample, T_world_camera)[sample.labels == SPACE.names.index(name)]
                # the mat has sides of a centimetre
                tolerance = 0.0101 if name == 'floor mat' else 1e-4
                assert (np.abs(points[:, axis] - value) < tolerance).all()
                seen += len(points) > 1000
            assert seen >= 2, f'{name} is hardly seen'

    def test_all_points_are_in_the_room(self, walk):
        for sample, T_world_camera in walk:
            points = world_points(sample, T_world_camera)
            assert (points > -1e-4).all()
            assert (points < ROOM + 1e-4).all()

    def test_a_point_seen_from_one_place_is_found_again_from_the_next(self, room):
        then, now = pose(8.0), pose(8.4)
        sample = room.frame(8.4)
        camera = sample.intrinsics
        points = (world_points(room.frame(8.0), then)[::3, ::3] - now[:3, 3]) @ now[:3, :3]
        u, v = (points[..., :2] / points[..., 2:] * [camera.fx, camera.fy] + [camera.cx, camera.cy]).transpose(2, 0, 1)
        inside = (u >= 0) & (u <= 639) & (v >= 0) & (v <= 479)
        assert inside.mean() > 0.7
        found = cv2.remap(1 / sample.depth, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR)
        difference = 1 / found[inside] - points[..., 2][inside]
        assert (np.abs(difference) < 0.005).mean() > 0.9  # the rest is hidden by something nearer
        assert (difference > 0.05).mean() < 0.01  # nothing is seen through


class TestImage:
    def test_kinds(self, walk):
        sample, _ = walk[0]
        assert (sample.image.shape, sample.image.dtype) == ((480, 640, 3), np.uint8)
        assert (sample.labels.shape, sample.labels.dtype) == ((480, 640), np.uint8)
        assert (sample.depth.shape, sample.depth.dtype) == ((480, 640), np.float32)
        assert (sample.intrinsics.width, sample.intrinsics.height) == (640, 480)

    def test_a_whole_room_is_seen(self, walk):
        seen = {SPACE.names[label] for sample, _ in walk for label in np.unique(sample.labels)}
        assert seen >= {
            *('wall', 'floor', 'ceiling', 'bed', 'chair', 'table', 'sofa', 'cabinet', 'bookshelf', 'books', 'picture'),
            *('door', 'window', 'lamp', 'desk', 'dresser', 'television', 'curtain', 'pillow', 'floor mat', 'box'),
        }
        for sample, _ in walk:
            assert len(np.unique(sample.labels)) >= 5

    def test_surfaces_are_textured_and_well_exposed(self, walk):
        for sample, _ in walk:
            gray = cv2.cvtColor(sample.image, cv2.COLOR_RGB2GRAY)
            assert 60 < gray.mean() < 190
            assert gray.std() > 25
            detail = np.abs(cv2.Laplacian(gray, cv2.CV_32F))
            assert (detail > 1).mean() > 0.3

    def test_textures_do_not_flicker(self):
        """A picture of few pixels looks like one of many pixels that was reduced."""
        few, many = SyntheticRoom(320, 240, 262.5), SyntheticRoom(1280, 960, 1050.0)
        for seconds in TIMES[::4]:
            reduced = cv2.resize(many.frame(seconds).image, (320, 240), interpolation=cv2.INTER_AREA)
            difference = np.abs(few.frame(seconds).image.astype(float) - reduced)
            assert difference.mean() < 5
            assert (difference.max(axis=2) > 60).mean() < 0.01

    def test_the_same_again(self):
        boxes = furniture()
        scene = faces(boxes)
        np.testing.assert_array_equal(build_atlas(scene, boxes, 3).texture, build_atlas(scene, boxes, 3).texture)

    def test_seed_changes_materials_only(self, walk):
        sample, _ = walk[3]
        other = SyntheticRoom(seed=1).frame(TIMES[3])
        assert (other.image != sample.image).mean() > 0.5
        np.testing.assert_array_equal(other.depth, sample.depth)
        np.testing.assert_array_equal(other.labels, sample.labels)


class TestWalk:
    def test_it_is_a_loop(self):
        np.testing.assert_allclose(pose(PERIOD), pose(0.0), atol=1e-9)
        np.testing.assert_allclose(pose(7.0 + 3 * PERIOD), pose(7.0), atol=1e-9)

    def test_poses_are_rigid_and_level(self):
        for seconds in np.arange(0, PERIOD, 0.5):
            T_world_camera = pose(seconds)
            rotation = T_world_camera[:3, :3]
            np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
            assert np.linalg.det(rotation) == pytest.approx(1)
            np.testing.assert_array_equal(T_world_camera[3], [0, 0, 0, 1])
            assert rotation[2, 0] == 0  # the horizon is level
            assert rotation[2, 1] < -0.9  # and not upside down

    def test_it_is_smooth(self):
        poses = [pose(seconds) for seconds in np.arange(0, PERIOD + 0.1, 0.1)]
        for before, after in pairwise(poses):
            assert np.linalg.norm(after[:3, 3] - before[:3, 3]) < 0.06  # 0.6 m/s
            cosine = (np.trace(before[:3, :3].T @ after[:3, :3]) - 1) / 2
            assert np.degrees(np.arccos(min(cosine, 1))) < 4  # 40 degrees per second

    def test_it_moves(self):
        assert all(np.linalg.norm(pose(t + 1)[:3, 3] - pose(t)[:3, 3]) > 0.1 for t in np.arange(0, PERIOD, 1))

    def test_a_person_could_walk_it(self):
        places = np.array([pose(seconds)[:3, 3] for seconds in np.arange(0, PERIOD, 0.05)])
        assert (places[:, :2] > 0.5).all()
        assert (places[:, :2] < ROOM[:2] - 0.5).all()
        for box in furniture():
            in_the_way = box.at[2] < 1.7 and box.at[2] + box.size[2] > 0.05
            if in_the_way:
                local = in_box(box, places - np.array(box.at))
                gap = np.linalg.norm(np.maximum(np.abs(local[:, :2]) - np.array(box.size[:2]) / 2, 0), axis=1)
                assert gap.min() > 0.25, box

    def test_nothing_blocks_the_view(self, walk):
        for sample, _ in walk:
            assert sample.depth.min() > 0.5
            assert np.median(sample.depth) > 1.5

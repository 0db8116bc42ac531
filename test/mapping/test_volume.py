# SPDX-License-Identifier: Apache-2.0
"""The map of the rendered room is where the room is, and of what the room is made."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip('mtperception.mapping.volume', reason='needs Open3D', exc_type=ImportError)

import mapped_rooms

from mtperception.errors import InputError
from mtperception.geometry import pixel_rays
from mtperception.labels import IGNORE_INDEX, load_label_space
from mtperception.mapping.frame import MapFrame
from mtperception.mapping.mapper import TOO_LARGE, MapOptions, Mapper
from mtperception.mapping.plausibility import frames_left_out, problems, single_view
from mtperception.mapping.volume import MapFullError, SemanticVolume
from mtperception.synthetic import PERIOD, SyntheticRoom, pose
from mtperception.types import Frame, Intrinsics

VOXEL = 0.05
VIEWS = 16
ROOM = SyntheticRoom(320, 240)


def view(seconds, **changes):
    sample = ROOM.frame(seconds)
    sure = np.full(sample.labels.shape, 230, np.uint8)
    frame = MapFrame(pose(seconds), ROOM.intrinsics, sample.depth, sample.labels, sure, sample.image)
    return replace(frame, **changes)


def mapped(times, **options):
    volume = SemanticVolume(VOXEL, 40, **{'max_depth': 6.0, **options})
    for seconds in times:
        volume.integrate(view(seconds))
    return volume


def known_voxels(volume):
    return map(np.concatenate, zip(*volume.known_voxels(), strict=True))


@pytest.fixture(scope='module')
def volume():
    return mapped(np.arange(VIEWS) * PERIOD / VIEWS)


@pytest.fixture(scope='module')
def surface(volume):
    return volume.surface()


def seen_from(surface, seconds):
    return mapped_rooms.seen_from(surface.vertices, surface.labels, seconds, VOXEL, ROOM)


def test_geometry_is_within_half_a_voxel(surface):
    errors = np.concatenate([seen_from(surface, seconds)[0] for seconds in (1.0, 11.0, 23.0, 31.0)])
    assert len(errors) > 5000
    assert np.median(errors) < VOXEL / 2


@pytest.mark.parametrize('normal', [(1, 0, 1), (0, 1, 1), (-1, 0, 1), (0, -1, 1)])
def test_a_slanted_plane_is_where_it_is(normal):
    """Half a pixel, 6 mm here, would be far below the size of a voxel."""
    camera, normal, distance = Intrinsics(131.0, 131.0, 79.5, 59.5, 160, 120), np.array(normal) / 2**0.5, 1.5
    x, y = pixel_rays(camera)
    along = normal[0] * x[None] + normal[1] * y[:, None] + normal[2]
    depth = np.where(along > 0.3, distance / np.maximum(along, 0.3), 0).astype(np.float32)
    depth[depth > 3] = 0
    # Colour rises by 1 per pixel in both directions, so it tells where a voxel was seen.
    rows, columns = np.indices(depth.shape)
    image = np.stack([rows, columns, columns], axis=2).astype(np.uint8)
    volume = SemanticVolume(0.02, 3, max_depth=5)
    nothing = np.full(depth.shape, IGNORE_INDEX, np.uint8)
    volume.integrate(MapFrame(np.eye(4), camera, depth, nothing, nothing, image))
    surface = volume.surface(1)
    assert len(surface.vertices) > 2000
    assert np.mean(surface.vertices @ normal - distance) == pytest.approx(0, abs=5e-4)
    seen = surface.vertices[:, :2] / surface.vertices[:, 2:] * camera.fx + (camera.cx, camera.cy)
    np.testing.assert_allclose(np.mean(surface.colors[:, 1::-1] - seen, axis=0), 0, atol=0.1)


def test_labels_are_those_of_the_room(surface):
    parts = [seen_from(surface, seconds) for seconds in (1.0, 11.0, 23.0, 31.0)]
    labels, truth, uniform = (np.concatenate([part[i] for part in parts]) for i in (1, 2, 3))
    assert (labels == truth)[uniform].mean() >= 0.995
    assert (labels == truth).mean() >= 0.97  # borders between classes are as sharp as a voxel


def test_colors_are_the_cameras(surface):
    """A vertex has the colour of the pixel that it is seen in, but for shading of textures within a voxel."""
    sample = ROOM.frame(0.0)
    T_camera_world = np.linalg.inv(pose(0.0))
    points = surface.vertices @ T_camera_world[:3, :3].T + T_camera_world[:3, 3]
    camera = ROOM.intrinsics
    ahead = points[:, 2] > 0.5
    column = np.rint(points[ahead, 0] / points[ahead, 2] * camera.fx + camera.cx).astype(int)
    row = np.rint(points[ahead, 1] / points[ahead, 2] * camera.fy + camera.cy).astype(int)
    inside = (column >= 0) & (column < camera.width) & (row >= 0) & (row < camera.height)
    row, column, z = row[inside], column[inside], points[ahead, 2][inside]
    same = np.abs(sample.depth[row, column] - z) < VOXEL
    difference = np.abs(surface.colors[ahead][inside].astype(int) - sample.image[row, column])[same]
    assert np.median(difference) < 12


def test_unknown_labels_and_invalid_depth_add_nothing():
    frame = view(0.0)
    unknown = SemanticVolume(VOXEL, 40, max_depth=6.0)
    unknown.integrate(replace(frame, labels=np.full_like(frame.labels, IGNORE_INDEX)))
    assert (unknown.surface().labels == IGNORE_INDEX).all()
    assert (unknown.surface().confidence == 0).all()
    empty = SemanticVolume(VOXEL, 40, max_depth=6.0)
    empty.integrate(replace(frame, depth=np.zeros_like(frame.depth)))
    assert (empty.blocks, len(empty.surface().vertices)) == (0, 0)


def test_memory_stays_within_its_limit():
    """With room for two thirds of the blocks, the newest views are whole and the oldest are gone."""
    whole = mapped([0.0, 1.0, 20.0, 21.0])
    limit = whole.memory_mb * 2 / 3
    volume = mapped([0.0, 1.0, 20.0, 21.0], memory_mb=limit)
    assert volume.memory_mb <= limit
    assert volume.dropped_blocks > 0
    newest, _, _, _ = seen_from(volume.surface(), 21.0)
    complete, _, _, _ = seen_from(whole.surface(), 21.0)
    assert len(newest) > 0.9 * len(complete)


@pytest.mark.parametrize('kept', [4, 0])
def test_what_made_room_is_put_back_together(tmp_path, kept):
    """Blocks go to the archive and come back when they are seen again: nothing is lost, whatever the limit."""
    times = [*np.arange(VIEWS) * PERIOD / VIEWS, 0.5, 20.5]
    whole = mapped(times, kept_classes=kept)
    volume = mapped(times, kept_classes=kept, memory_mb=whole.memory_mb * 2 / 3, archive=tmp_path / 'archive')
    assert volume.archived_blocks > 100
    assert volume.dropped_blocks == 0
    assert volume.memory_mb <= whole.memory_mb * 2 / 3
    assert len(volume.surface().vertices) < 0.9 * len(whole.surface().vertices)
    together = volume.whole()
    assert together.blocks == whole.blocks == volume.blocks + volume.archived_blocks
    expected, found = in_order(whole), in_order(together)
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(together.surface().vertices) == len(whole.surface().vertices)
    size = (tmp_path / 'archive' / 'blocks.bin').stat().st_size
    assert size < 1.1 * whole.memory_mb * 1e6  # what came back left room for others


def in_order(volume):
    centers, probabilities, weight = known_voxels(volume)
    order = np.lexsort(np.rint(centers / VOXEL).T)
    return centers[order], probabilities[order], weight[order]


def test_far_blocks_are_archived(tmp_path):
    volume = mapped([0.0], archive=tmp_path)
    before = volume.blocks
    far = volume.drop_farther_than(2.0, pose(0.0)[:3, 3])
    assert 0 < len(far) == volume.archived_blocks == before - volume.blocks
    assert volume.whole().blocks == before


def test_an_archive_in_an_occupied_folder_is_refused(tmp_path):
    (tmp_path / 'notes.txt').touch()
    with pytest.raises(ValueError, match=r'holds notes\.txt'):
        SemanticVolume(VOXEL, 40, archive=tmp_path)


def test_an_archive_that_somebody_changed_is_an_error(tmp_path):
    volume = mapped([0.0], archive=tmp_path)
    volume.drop_oldest(10)
    (tmp_path / 'blocks.bin').write_bytes(b'')
    with pytest.raises(OSError, match='cannot be read back'):
        volume.whole()


@pytest.mark.parametrize('spare', [1.0, 1.1, 1.4])
def test_a_nearly_full_map_is_the_same_map(spare):
    """Open3D moves blocks to other buffers when it has few left: classes move with them."""
    times = [0.0, 2.5, 5.0, 7.5]
    roomy = mapped(times)
    volume = mapped(times, memory_mb=roomy.memory_mb * spare + 0.01)
    assert volume.dropped_blocks == 0
    for one, other in zip(in_order(roomy), in_order(volume), strict=True):
        np.testing.assert_array_equal(one, other)


def test_room_that_was_given_up_is_clean():
    """What takes the place of dropped blocks knows nothing of them."""
    volume = mapped([0.0])
    volume.drop_oldest(volume.blocks)
    assert volume.blocks == 0
    volume.integrate(view(20.0))
    fresh = mapped([20.0])
    assert volume.blocks == fresh.blocks
    np.testing.assert_allclose(
        np.sort(volume.surface().vertices, axis=0), np.sort(fresh.surface().vertices, axis=0), atol=1e-5
    )
    assert np.bincount(volume.surface().labels).tolist() == np.bincount(fresh.surface().labels).tolist()


def test_far_blocks_are_dropped():
    volume = mapped([0.0])
    position = pose(0.0)[:3, 3]
    before = volume.blocks
    keys = volume.drop_farther_than(2.0, position)
    assert 0 < len(keys) == before - volume.blocks
    centers = (keys + 0.5) * 8 * VOXEL
    assert (np.linalg.norm(centers - position, axis=1) > 2.0).all()


def test_a_view_too_large_for_the_map_is_refused():
    with pytest.raises(MapFullError, match='use larger voxels'):
        mapped([0.0], memory_mb=0.2)


def test_views_too_large_for_the_map_are_left_out_and_counted():
    """Of the room and of its corner from near: the second has fewer blocks than fit."""
    options = MapOptions(depth='sensor', labels='recorded', max_depth=6.0, memory_mb=mapped([0.0]).memory_mb * 0.9)
    mapper = Mapper(load_label_space('nyuv2_40'), options)
    frame = ROOM.frame(0.0)
    near = replace(frame, depth=np.minimum(frame.depth, 1.0))
    for each in (frame, near):
        mapper.add(Frame(each.image, 0, each.intrinsics, '', each.depth, each.labels, T_world_camera=pose(0.0)))
    assert (mapper.statistics.used, dict(mapper.statistics.left_out_frames)) == (1, {TOO_LARGE: 1})
    assert mapper.statistics.pixels == frame.depth.size
    assert 'use larger voxels' in frames_left_out(mapper.statistics, '')


def test_known_voxels_are_at_the_surface(volume):
    centers, probabilities, weights = known_voxels(volume)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-4)
    assert (weights > 0).mean() > 0.99
    floor = centers[probabilities.argmax(axis=1) == 1]  # class 1 of nyuv2_40
    assert np.abs(np.median(floor[:, 2])) < VOXEL


def test_maps_of_another_size_are_refused():
    frame = view(0.0)
    with pytest.raises(ValueError, match='expected one height and width'):
        SemanticVolume(VOXEL, 40).integrate(replace(frame, labels=frame.labels[::2, ::2]))


@pytest.mark.parametrize(('row', 'column'), [(5, 5), (8, 8), (239, 319)])
def test_a_single_pixel_of_depth(row, column):
    """Open3D looks at every fourth row and column, and fails where it finds nothing."""
    depth = np.zeros((240, 320), np.float32)
    depth[row, column] = 2.0
    volume = SemanticVolume(VOXEL, 40)
    volume.integrate(view(0.0, depth=depth))
    assert volume.frames == 1
    assert (volume.blocks > 0) == (row % 4 == column % 4 == 0)
    volume.integrate(view(0.0))
    assert volume.blocks > 100


def test_a_label_of_no_class_leaves_the_map_as_it_was():
    labels = view(0.0).labels.copy()
    labels[0, 0], labels[0, 1] = 48, IGNORE_INDEX
    mapper = Mapper(load_label_space('nyuv2_40'), MapOptions(depth='sensor', labels='recorded'))
    with pytest.raises(ValueError, match='label index 48: expected 0 to 39, or 255 for unknown'):
        mapper.fuse(view(0.0, labels=labels))
    assert (mapper.volume.frames, mapper.volume.blocks, mapper.statistics.pixels) == (0, 0, 0)
    labels[0, 0] = 39
    mapper.fuse(view(0.0, labels=labels))
    assert mapper.statistics.used == 1


def test_a_parked_robot_is_no_problem():
    """It may stand for long before it drives; of a map that is finished, one view is worth a word."""
    mapper = Mapper(load_label_space('nyuv2_40'), MapOptions(depth='sensor', labels='recorded'), history=3)
    for seconds in (0.0, 0.0, 0.0):
        mapper.fuse(view(seconds))
    assert list(problems(mapper.statistics, mapper.options, '')) == []
    assert single_view(mapper.statistics) == 'all 3 poses are the same: the map is a single view'
    mapper.fuse(view(1.0))
    assert single_view(mapper.statistics) == ''


def test_poses_too_far_for_single_precision_are_named():
    """As in UTM coordinates, of which the tf tree of a field robot may have its root."""
    mapper = Mapper(load_label_space('nyuv2_40'), MapOptions(depth='sensor', labels='recorded'))
    for seconds in (0.0, 1.0):
        far = pose(seconds)
        far[:3, 3] += (500_000.0, 4_600_000.0, 100.0)
        mapper.fuse(view(seconds, T_world_camera=far))
    [problem] = problems(mapper.statistics, mapper.options, '')
    assert problem.startswith('poses are up to 4627 km from the origin')
    assert 'use a local frame' in problem


def test_more_memory_than_there_is_says_so():
    with pytest.raises(InputError, match='memory_mb 1e\\+12: this computer does not have so much'):
        SemanticVolume(VOXEL, 40, kept_classes=0, memory_mb=1e12)


def mean_color(volume):
    return volume.surface(1).colors.mean(axis=0)


def test_views_without_an_image_leave_no_black_in_the_colours():
    """As where the map hears of the labels before it hears of the camera."""
    volume = SemanticVolume(VOXEL, 40, max_depth=6.0)
    for _ in range(3):
        volume.integrate(view(0.0, image=None))
    volume.integrate(view(0.0))
    np.testing.assert_allclose(mean_color(volume), mean_color(mapped([0.0])), atol=0.5)
    volume.integrate(view(0.0, image=np.zeros_like(ROOM.frame(0.0).image)))  # and from then on the mean is taken
    np.testing.assert_allclose(mean_color(volume), 0.8 * mean_color(mapped([0.0])), atol=0.5)

# SPDX-License-Identifier: Apache-2.0
"""`mtperception map`: what it writes is the room that was recorded, and it says why a map comes to nothing."""

import json
from dataclasses import astuple

import numpy as np
import pytest

pytest.importorskip('mtperception.mapping.volume', reason='needs Open3D', exc_type=ImportError)

import open3d
from calibrations import write_calibration
from mapped_rooms import EXACT, ROOM, TIMES, rightness, tum_line, write_posed_rooms, write_walk
from recordings import LABELS, room_messages, write_recording

from mtperception.cli import main
from mtperception.mapping.views import open_views
from mtperception.recording.recording_options import RecordingOptions
from mtperception.synthetic import SyntheticRoom, pose

VOXEL = 0.05


@pytest.fixture(scope='module')
def rooms(tmp_path_factory):
    return write_posed_rooms(tmp_path_factory.mktemp('rooms') / 'room')


@pytest.fixture(scope='module')
def mapped(rooms, tmp_path_factory):
    out = tmp_path_factory.mktemp('mapped') / 'map'
    arguments = ['map', str(rooms), '--out', str(out), *EXACT, '--per-class', '--report', '--json', str(out) + '.json']
    assert main(arguments) == 0
    return out


def run(capsys, *arguments):
    status = main(['map', *map(str, arguments)])
    return status, capsys.readouterr().err


def test_another_reader_finds_the_room_in_the_mesh(mapped):
    mesh = open3d.t.io.read_triangle_mesh(str(mapped / 'mesh.ply'))
    points = open3d.t.io.read_point_cloud(str(mapped / 'points.ply'))
    vertices, labels = points.point.positions.numpy(), points.point.label.numpy().ravel()
    np.testing.assert_array_equal(mesh.vertex.positions.numpy(), vertices)
    assert mesh.triangle.indices.numpy().max() == len(vertices) - 1
    right, error, count = rightness(vertices, labels, VOXEL)
    assert count > 5000
    assert right >= 0.995
    assert error < VOXEL / 2
    confidence = points.point.confidence.numpy().ravel()
    known = labels != 255
    assert known.mean() > 0.95
    assert ((confidence[known] > 1 / 40) & (confidence[known] <= 1)).all()
    assert not confidence[~known].any()


def test_the_mesh_has_the_colours_of_its_classes(mapped):
    from mtperception.labels import load_label_space

    mesh = open3d.io.read_triangle_mesh(str(mapped / 'mesh.ply'))
    labels = open3d.t.io.read_point_cloud(str(mapped / 'points.ply')).point.label.numpy().ravel()
    known = labels != 255
    colors = np.rint(np.asarray(mesh.vertex_colors) * 255).astype(np.uint8)
    np.testing.assert_array_equal(colors[known], load_label_space('nyuv2_40').palette[labels[known]])
    assert mesh.has_vertex_normals()


def test_voxels_and_summary_agree(mapped):
    voxels, summary = np.load(mapped / 'map.npz'), json.loads((mapped / 'summary.json').read_text())
    assert summary == json.loads(mapped.with_name('map.json').read_text())
    assert (summary['command'], summary['frames'], summary['model']) == ('map', len(TIMES), '')
    assert summary['metrics']['voxels'] == len(voxels['centers']) > 10_000
    assert voxels['voxel_size'] == VOXEL
    assert (np.diff(voxels['probabilities'], axis=1) <= 0).all()
    floor = voxels['classes'][:, 0] == list(voxels['class_names']).index('floor')
    assert abs(np.median(voxels['centers'][floor, 2])) < VOXEL
    # 8.3 x 5.8 m of floor, as much ceiling, and walls; more than half of it is seen, and no surface twice.
    assert 50 < summary['metrics']['area_m2'] < 250
    assert summary['metrics']['ms_per_frame'] > 0
    assert 0 < summary['metrics']['memory_mb'] < 500
    assert set(summary['left_out']['pixels']) >= {'no depth', 'dynamic class', 'depth edge', 'beyond max_depth'}


def test_a_mesh_for_each_class(mapped):
    floor = open3d.t.io.read_point_cloud(str(mapped / 'classes' / 'floor.ply')).point
    assert (floor.label.numpy() == 1).mean() > 0.9
    assert abs(np.median(floor.positions.numpy()[:, 2])) < VOXEL
    classes = {path.stem for path in (mapped / 'classes').iterdir()}
    assert {'floor', 'wall', 'table', 'chair'} <= classes


def test_the_page_shows_pictures_that_are_there(mapped):
    page = (mapped / 'report' / 'index.html').read_text()
    views = [f'images/view_0_{name}.png' for name in ('color', 'labels', 'confidence')]
    for name in ('images/floor_plan.png', 'plots/ms.png', 'plots/mb.png', *views):
        assert name in page
        assert (mapped / 'report' / name).stat().st_size > 500
    assert 'background: #008000"></span><span class="name">floor</span>' in page  # the legend of the plan
    assert 'e+0' not in page


def test_nothing_is_lost_with_an_archive(rooms, mapped, tmp_path, capsys):
    limit = json.loads((mapped / 'summary.json').read_text())['metrics']['memory_mb'] * 0.7
    options = (*EXACT, '--memory-mb', str(limit), '--archive', tmp_path / 'archive')
    status, said = run(capsys, rooms, '--out', tmp_path / 'map', *options)
    assert status == 0, said
    found = json.loads((tmp_path / 'map' / 'summary.json').read_text())['metrics']
    expected = json.loads((mapped / 'summary.json').read_text())['metrics']
    assert found['archived_blocks'] > 10
    assert found['memory_mb'] <= limit
    for name in ('voxels', 'vertices', 'triangles'):
        assert found[name] == expected[name]


def test_what_is_dropped_for_lack_of_memory_is_said(rooms, mapped, tmp_path, capsys):
    limit = json.loads((mapped / 'summary.json').read_text())['metrics']['memory_mb'] * 0.7
    status, said = run(capsys, rooms, '--out', tmp_path / 'map', *EXACT, '--memory-mb', str(limit))
    assert status == 0, said
    found = json.loads((tmp_path / 'map' / 'summary.json').read_text())
    dropped, kept = (found['metrics'][name] for name in ('dropped_blocks', 'blocks'))
    (note,) = [note for note in found['notes'] if 'was dropped' in note]
    assert note.startswith(f'{dropped / (dropped + kept):.0%} of the map was dropped: it takes more than {limit:g} MB')
    assert note in said


def test_a_single_view_is_a_map_if_so_asked(rooms, tmp_path, capsys):
    arguments = (rooms, '--out', tmp_path / 'map', *EXACT, '--every', '100')
    status, said = run(capsys, *arguments)
    assert status == 1
    assert 'no surface was seen by 2 images: use --min-views 1' in said
    status, said = run(capsys, *arguments, '--min-views', '1')
    assert status == 0, said


def test_dynamic_classes_stay_out(rooms, tmp_path, capsys):
    options = (*EXACT, '--every', '4', '--dynamic-class', 'floor', '--dynamic-class', 'wall')
    status, said = run(capsys, rooms, '--out', tmp_path / 'map', *options)
    assert status == 0, said
    summary = json.loads((tmp_path / 'map' / 'summary.json').read_text())
    assert summary['frames'] == 4
    assert not {'floor', 'wall'} & set(summary['classes'])
    assert summary['left_out']['pixels']['dynamic class'] > 0.2


def test_poses_of_a_file_go_before_those_of_the_folder(tmp_path, capsys):
    """Names are stamps in seconds; between two poses they are interpolated, rotations along the shorter arc."""
    rooms = write_posed_rooms(tmp_path / 'room', [20.0, 20.1, 20.2], pose=None)
    lines = ['# a comment', *(tum_line(20.0 + 0.1 * stamp, f'{stamp:.1f}') for stamp in (0, 1.5, 0.5, 2))]
    (tmp_path / 'poses.txt').write_text('\n'.join(lines))
    status, said = run(capsys, rooms, '--out', tmp_path / 'map', *EXACT, '--poses', tmp_path / 'poses.txt')
    assert status == 0, said
    points = open3d.t.io.read_point_cloud(str(tmp_path / 'map' / 'points.ply')).point
    right, error, _ = rightness(points.positions.numpy(), points.label.numpy().ravel(), VOXEL, looks=(20.0, 20.2))
    assert right > 0.99
    assert error < VOXEL / 2


def test_the_tolerance_between_images_and_the_poses_of_a_file(tmp_path):
    """Poses that end 0.05 s before the last image."""
    rooms = write_posed_rooms(tmp_path / 'room', [20.0, 20.1], pose=None)
    (tmp_path / 'poses.txt').write_text('\n'.join(tum_line(20.0 + late, f'{late:.2f}') for late in (0.0, 0.95)))
    for tolerance, expected in ((0.04, [True, False]), (0.06, [True, True])):
        views = open_views(str(rooms), RecordingOptions(tolerance=tolerance), poses=tmp_path / 'poses.txt')
        assert [frame.T_world_camera is not None for frame in views] == expected


def test_a_bag_with_odometry(tmp_path, capsys):
    bag = write_recording(tmp_path / 'bag', list(room_messages(4, 160, 120)))
    arguments = ('--label-topic', LABELS, '--label-space', 'nyuv2_40', '--out', tmp_path / 'map', *EXACT)
    status, said = run(capsys, bag, *arguments)
    assert status == 0, said
    points = open3d.t.io.read_point_cloud(str(tmp_path / 'map' / 'points.ply')).point
    room = SyntheticRoom(160, 120)
    right, error, _ = rightness(points.positions.numpy(), points.label.numpy().ravel(), VOXEL, (0.1, 0.3), room)
    assert right > 0.99
    assert error < VOXEL / 2


def test_a_model_gives_depth_and_labels(rooms, tmp_path, capsys):
    """The shipped model, on the CPU: no accuracy is expected of it here."""
    options = ('--every', '8', '--min-views', '1', '--backend', 'onnxruntime', '--device', 'cpu', '--fusion', 'average')
    status, said = run(capsys, rooms, '--out', tmp_path / 'map', *options)
    assert status == 0, said
    summary = json.loads((tmp_path / 'map' / 'summary.json').read_text())
    assert (summary['model'], summary['frames'], summary['label_space']) == ('nyuv2_indoor', 2, 'nyuv2_40')
    assert summary['options']['fusion'] == 'average'
    assert summary['metrics']['prediction_ms_per_frame'] > 0


def test_an_image_without_depth_costs_itself_and_is_told(tmp_path, capsys):
    rooms = write_posed_rooms(tmp_path / 'room', [20.0, 20.1, 20.2])
    (rooms / 'depth' / '1.png').write_bytes(b'no image')
    status, said = run(capsys, rooms, '--out', tmp_path / 'map', *EXACT)
    assert status == 0, said
    assert 'map: 2 frames' in said
    assert 'note: depth of 1 of 3 images cannot be read, the first: ' in said


def test_poses_of_a_file_for_a_bag_without_any(tmp_path, capsys):
    """By the stamps of the images."""
    bag = write_recording(tmp_path / 'bag', list(room_messages(4, 160, 120, with_odometry=False)))
    (tmp_path / 'poses.txt').write_text(
        '\n'.join(tum_line(0.1 * index, f'{1000 + 0.1 * index:.1f}') for index in range(4))
    )
    arguments = ('--label-topic', LABELS, '--label-space', 'nyuv2_40', '--out', tmp_path / 'map', *EXACT)
    status, said = run(capsys, bag, *arguments, '--poses', tmp_path / 'poses.txt')
    assert status == 0, said
    points = open3d.t.io.read_point_cloud(str(tmp_path / 'map' / 'points.ply')).point
    room = SyntheticRoom(160, 120)
    right, error, _ = rightness(points.positions.numpy(), points.label.numpy().ravel(), VOXEL, (0.1, 0.3), room)
    assert right > 0.99
    assert error < VOXEL / 2


def test_a_video_with_the_poses_and_the_camera_of_files(tmp_path, capsys):
    """Stamps of a video begin at 0; images outside the trajectory are left out."""
    video = write_walk(tmp_path / 'walk.mp4', [20.0, 20.1, 20.2, 20.3])
    poses, camera = tmp_path / 'poses.txt', write_calibration(tmp_path / 'camera.yaml', ROOM.intrinsics)
    poses.write_text('\n'.join(tum_line(20.0 + 0.1 * index, f'{0.1 * index:.1f}') for index in range(3)))

    frames = list(open_views(str(video), poses=poses, camera_file=str(camera)))
    for frame, seconds in zip(frames[:3], (20.0, 20.1, 20.2), strict=True):
        np.testing.assert_allclose(frame.T_world_camera, pose(seconds), atol=1e-6)
        assert astuple(frame.intrinsics) == pytest.approx(astuple(ROOM.intrinsics))
    assert frames[3].T_world_camera is None

    options = ('--min-views', '1', '--backend', 'onnxruntime', '--device', 'cpu')
    status, said = run(capsys, video, '--out', tmp_path / 'map', '--poses', poses, '--camera', camera, *options)
    assert status == 0, said
    assert 'map: 3 frames' in said
    assert '1 of 4 frames left out: 1 no pose' in said
    assert (tmp_path / 'map' / 'mesh.ply').exists()

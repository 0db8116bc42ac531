# SPDX-License-Identifier: Apache-2.0
"""`mtperception map`: what it writes is the room that was recorded, and it says why a map comes to nothing."""

import json

import numpy as np
import pytest

pytest.importorskip('mtperception.mapping.volume', reason='needs Open3D', exc_type=ImportError)

import open3d
from mapped_rooms import ROOM, TIMES, rightness, tum_line, write_posed_rooms
from recordings import DEPTH, IMAGE, INFO, LABELS, depth_32f, image, info, posestamped, room_messages, write_recording

from mtperception.card import ModelCard
from mtperception.cli import main
from mtperception.export import export_model
from mtperception.input_policy import InputPolicy, TrainingCamera
from mtperception.media import write_image
from mtperception.networks import create_network
from mtperception.synthetic import SyntheticRoom, pose

EXACT = ('--depth', 'sensor', '--labels', 'recorded', '--max-depth', '6')
VOXEL = 0.05
SEGMENTATION = ModelCard(
    'labels',
    'joint_lw_refinenet',
    40,
    ('segmentation',),
    'nyuv2_40',
    (0, 40),
    (0.3, 10.0),
    TrainingCamera(80.0, 96, 72),
    InputPolicy('keep_aspect', 96, 72),
)


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


def test_without_poses_it_says_so(tmp_path, capsys):
    bag = write_recording(tmp_path / 'bag', list(room_messages(2, with_odometry=False)))
    arguments = ('--label-topic', LABELS, '--label-space', 'nyuv2_40', '--out', tmp_path / 'map', *EXACT)
    status, said = run(capsys, bag, *arguments)
    assert status == 1
    assert 'the map is empty: 2 of 2 frames left out: 2 no pose (poses: not known: no poses in the bag)' in said
    assert not (tmp_path / 'map').exists()


def test_poses_of_another_time(tmp_path, capsys):
    rooms = write_posed_rooms(tmp_path / 'room', [20.0, 20.1])
    (tmp_path / 'poses.txt').write_text('\n'.join(tum_line(20.0, f'{stamp}.0') for stamp in (1000, 1001)))
    status, said = run(capsys, rooms, '--out', tmp_path / 'map', *EXACT, '--poses', tmp_path / 'poses.txt')
    assert status == 1
    assert '2 no pose' in said
    assert 'poses from 1000.000 to 1001.000 s; images from 0.000 to 1.000 s' in said


def test_millimetres_taken_for_metres(tmp_path, capsys):
    rooms = write_posed_rooms(tmp_path / 'room', [20.0, 20.1], depth_scale=1.0)
    status, said = run(capsys, rooms, '--out', tmp_path / 'map', *EXACT)
    assert status == 1
    assert 'millimetres taken for metres' in said
    assert 'beyond max_depth' in said


def test_an_odometry_that_is_not_connected_to_the_camera(tmp_path, capsys):
    from recordings import odometry

    stamp_ns = 10**12
    sample = ROOM.frame(0.0)
    messages = [
        (INFO, info(ROOM.intrinsics, stamp_ns)),
        (IMAGE, image(sample.image, stamp_ns)),
        (DEPTH, depth_32f(sample.depth, stamp_ns)),
        (LABELS, image(sample.labels + np.uint8(1), stamp_ns, 'mono8')),
        ('/odom', odometry(pose(0.0), stamp_ns, child='base_link')),
    ]
    bag = write_recording(tmp_path / 'bag', messages)
    arguments = ('--label-topic', LABELS, '--label-space', 'nyuv2_40', '--out', tmp_path / 'map', *EXACT)
    status, said = run(capsys, bag, *arguments)
    assert status == 1
    assert "no static transform from there to 'camera'" in said


def test_positions_in_millimetres(tmp_path, capsys):
    bag_messages = []
    room = SyntheticRoom(96, 72)
    for index, seconds in enumerate((0.0, 0.4, 0.8)):
        stamp_ns, sample, matrix = 10**12 + index * 10**8, room.frame(seconds), pose(seconds)
        matrix[:3, 3] *= 1000
        bag_messages += [
            (INFO, info(room.intrinsics, stamp_ns)),
            (IMAGE, image(sample.image, stamp_ns)),
            (DEPTH, depth_32f(sample.depth, stamp_ns)),
            (LABELS, image(sample.labels + np.uint8(1), stamp_ns, 'mono8')),
            ('/pose', posestamped(matrix, stamp_ns)),
        ]
    bag = write_recording(tmp_path / 'bag', bag_messages)
    arguments = ('--label-topic', LABELS, '--label-space', 'nyuv2_40', '--out', tmp_path / 'map', *EXACT)
    status, said = run(capsys, bag, *arguments)
    assert status == 1
    assert 'are positions in millimetres' in said


def test_a_model_gives_depth_and_labels(rooms, tmp_path, capsys):
    """The shipped model, on the CPU: no accuracy is expected of it here."""
    options = ('--every', '8', '--min-views', '1', '--backend', 'onnxruntime', '--device', 'cpu', '--fusion', 'average')
    status, said = run(capsys, rooms, '--out', tmp_path / 'map', *options)
    assert status == 0, said
    summary = json.loads((tmp_path / 'map' / 'summary.json').read_text())
    assert (summary['model'], summary['frames'], summary['label_space']) == ('nyuv2_indoor', 2, 'nyuv2_40')
    assert summary['options']['fusion'] == 'average'
    assert summary['metrics']['prediction_ms_per_frame'] > 0


@pytest.mark.parametrize(
    ('line', 'expected'),
    [
        ('1.0 0 0 0 0 0 0', 'line 1: found 1.0 0 0 0 0 0 0: expected stamp'),
        ('1.0 0 0 0 0 0 0 0', 'a quaternion not 0'),
        ('1.0 0 0 0 0 0 0 x', 'line 1: not numbers'),
        (
            '1403636579758555392 0 0 0 0 0 0 1',
            'line 1: stamp 1403636579758555392: expected seconds; are th',
        ),
        ('1_0 0 0 0 0 0 0 1', 'line 1: stamp 1_0: expected seconds'),
        ('nan 0 0 0 0 0 0 1', 'line 1: stamp nan: expected'),
        ('# nothing', 'no poses'),
    ],
)
def test_wrong_pose_files_are_refused(rooms, tmp_path, capsys, line, expected):
    (tmp_path / 'poses.txt').write_text(line)
    status, said = run(capsys, rooms, '--out', tmp_path / 'map', *EXACT, '--poses', tmp_path / 'poses.txt')
    assert status == 1
    assert expected in said


@pytest.mark.parametrize(
    ('option', 'value', 'with_'),
    [
        ('--depth-topic', '/depth', '--depth sensor'),
        ('--label-topic', '/labels', '--labels recorded'),
        ('--label-space', 'nyuv2_13', '--labels recorded'),
    ],
)
def test_options_that_would_be_ignored_are_refused(rooms, tmp_path, capsys, option, value, with_):
    status, said = run(capsys, rooms, '--out', tmp_path / 'map', option, value)
    assert status == 2
    assert option in said
    assert f'expected together with {with_}' in ' '.join(said.split())
    assert not (tmp_path / 'map').exists()


def test_a_model_without_depth_is_refused(rooms, tmp_path, capsys):
    network = create_network('joint_lw_refinenet', 40, ('segmentation',))
    export_model(network, SEGMENTATION, tmp_path / 'model')
    status, said = run(capsys, rooms, '--model', tmp_path / 'model', '--out', tmp_path / 'map')
    assert status == 1
    assert 'gives no depth: expected one with depth, or --depth sensor' in said


def test_labels_of_no_class_are_refused(tmp_path, capsys):
    """Ids of 255 classes, and a label space of 13."""
    room, stamp_ns = SyntheticRoom(96, 72), 10**12
    sample = room.frame(0.0)
    messages = [
        (INFO, info(room.intrinsics, stamp_ns)),
        (IMAGE, image(sample.image, stamp_ns)),
        (DEPTH, depth_32f(sample.depth, stamp_ns)),
        (LABELS, image(np.full_like(sample.labels, 21), stamp_ns, 'mono8')),
        ('/pose', posestamped(pose(0.0), stamp_ns)),
    ]
    bag = write_recording(tmp_path / 'bag', messages)
    arguments = ('--label-topic', LABELS, '--label-space', 'nyuv2_13', '--out', tmp_path / 'map', *EXACT)
    status, said = run(capsys, bag, *arguments)
    assert status == 1
    assert 'label index 20: expected 0 to 12, or 255 for unknown: check label_space and label_offset' in said


def test_a_folder_with_other_things_is_not_replaced(rooms, tmp_path, capsys):
    (tmp_path / 'mine.txt').write_text('mine')
    status, said = run(capsys, rooms, '--out', tmp_path, *EXACT)
    assert status == 1
    assert 'mine.txt' in said


def test_an_image_without_depth_costs_itself_and_is_told(tmp_path, capsys):
    rooms = write_posed_rooms(tmp_path / 'room', [20.0, 20.1, 20.2])
    (rooms / 'depth' / '1.png').write_bytes(b'no image')
    status, said = run(capsys, rooms, '--out', tmp_path / 'map', *EXACT)
    assert status == 0, said
    assert 'map: 2 frames' in said
    assert 'note: depth of 1 of 3 images cannot be read, the first: ' in said


def test_what_has_no_poses_is_not_begun(tmp_path, capsys):
    (tmp_path / 'images').mkdir()
    write_image(tmp_path / 'images' / '1.png', ROOM.frame(0.0).image)
    for source in (tmp_path / 'images', tmp_path / 'images' / '1.png'):
        status, said = run(capsys, source, '--out', tmp_path / 'map', '--model', 'nonesuch')
        assert status == 1
        assert f'{source}: no cameras and poses: expected a bag, a folder with dataset.json, or synthetic' in said


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

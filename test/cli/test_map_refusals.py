# SPDX-License-Identifier: Apache-2.0
"""`mtperception map` where nothing comes of it: it says why, and writes nothing."""

import numpy as np
import pytest

pytest.importorskip('mtperception.mapping.volume', reason='needs Open3D', exc_type=ImportError)

from altered_models import model_of_tasks
from mapped_rooms import EXACT, ROOM, tum_line, write_posed_rooms, write_walk
from recordings import (
    DEPTH,
    IMAGE,
    INFO,
    LABELS,
    depth_32f,
    image,
    info,
    odometry,
    posestamped,
    room_messages,
    write_recording,
)

from mtperception.cli import main
from mtperception.media import write_image
from mtperception.synthetic import SyntheticRoom, pose


@pytest.fixture(scope='module')
def rooms(tmp_path_factory):
    return write_posed_rooms(tmp_path_factory.mktemp('rooms') / 'room')


def run(capsys, *arguments):
    status = main(['map', *map(str, arguments)])
    return status, capsys.readouterr().err


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
    ('option', 'with_'),
    [
        (('--depth-topic', '/depth'), '--depth sensor'),
        (('--depth-registered',), '--depth sensor'),
        (('--label-topic', '/labels'), '--labels recorded'),
        (('--label-offset', '2'), '--labels recorded'),
        (('--label-space', 'nyuv2_13'), '--labels recorded'),
    ],
)
def test_options_that_would_be_ignored_are_refused(rooms, tmp_path, capsys, option, with_):
    status, said = run(capsys, rooms, '--out', tmp_path / 'map', *option)
    assert status == 2
    assert option[0] in said
    assert f'expected together with {with_}' in ' '.join(said.split())
    assert not (tmp_path / 'map').exists()


def test_a_model_without_depth_is_refused(rooms, tmp_path, capsys):
    status, said = run(capsys, rooms, '--model', model_of_tasks(tmp_path, 'segmentation'), '--out', tmp_path / 'map')
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


def test_what_has_no_poses_is_not_begun(tmp_path, capsys):
    (tmp_path / 'images').mkdir()
    write_image(tmp_path / 'images' / '1.png', ROOM.frame(0.0).image)
    for source in (tmp_path / 'images', tmp_path / 'images' / '1.png'):
        status, said = run(capsys, source, '--out', tmp_path / 'map', '--model', 'nonesuch')
        assert status == 1
        assert f'{source}: no poses: expected a bag, a folder with dataset.json, or synthetic' in said
        assert 'of other images, --poses FILE' in said


def test_a_camera_has_no_end(tmp_path, capsys):
    (tmp_path / 'poses.txt').write_text(tum_line(20.0, '0.0'))
    status, said = run(capsys, 'webcam:0', '--out', tmp_path / 'map', '--poses', tmp_path / 'poses.txt')
    assert status == 1
    assert 'webcam:0: a camera has no end: expected a recording' in said


def test_a_video_without_a_camera_is_told_how_to_get_one(tmp_path, capsys):
    video = write_walk(tmp_path / 'walk.mp4', [20.0, 20.1])
    (tmp_path / 'poses.txt').write_text('\n'.join(tum_line(20.0, stamp) for stamp in ('0.0', '0.1')))
    options = ('--backend', 'onnxruntime', '--device', 'cpu')
    status, said = run(capsys, video, '--out', tmp_path / 'map', '--poses', tmp_path / 'poses.txt', *options)
    assert status == 1
    assert '2 of 2 frames left out: 2 no camera; of images without a camera, --camera names a calibration' in said


def test_the_map_does_not_replace_what_it_is_made_of(tmp_path, capsys):
    video = write_walk(tmp_path / 'walk.mp4', [20.0])
    for name in ('poses', 'camera'):
        (tmp_path / name).mkdir()
        file = tmp_path / name / 'map.npz'
        file.write_text('mine')
        status, said = run(capsys, video, '--out', tmp_path / name, f'--{name}', file)
        assert status == 1
        assert f'is or holds the input {file}' in said
        assert file.read_text() == 'mine'


@pytest.mark.parametrize('option', ['--archive', '--json'])
def test_nothing_else_is_written_into_the_folder_that_is_replaced(rooms, tmp_path, capsys, option):
    status, said = run(capsys, rooms, '--out', tmp_path / 'map', *EXACT, option, tmp_path / 'map' / 'nested')
    assert status == 1
    assert f'{option} {tmp_path / "map" / "nested"} is in --out' in said
    assert not (tmp_path / 'map').exists()


def test_two_sources_of_poses_are_one_too_many(rooms, tmp_path, capsys):
    status, said = run(capsys, rooms, '--out', tmp_path / 'map', '--poses', 'poses.txt', '--pose-topic', '/odom')
    assert status == 2
    assert 'not together with --poses' in ' '.join(said.split())

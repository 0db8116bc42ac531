# SPDX-License-Identifier: Apache-2.0
"""`mtperception predict` writes what `Predictor` says, and never one result over another."""

import json

import cv2
import numpy as np
import pytest
from calibrations import write_calibration
from perfect_network import Room, Wall, perfect_predictor, pinhole
from predict_runs import BACKEND, image, png, run, video, written

from mtperception import cli
from mtperception.cli.predict import PredictionWriter
from mtperception.media import write_image
from mtperception.predictor import Predictor
from mtperception.sources import open_source
from mtperception.types import Intrinsics
from mtperception.visualization import colorize_depth, overlay

KINDS = ('confidence', 'depth', 'depth_color', 'depth_confidence', 'labels', 'overlay')


@pytest.fixture(scope='module')
def predictor():
    return Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')


def read(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def read_rgb(path):
    return cv2.cvtColor(read(path), cv2.COLOR_BGR2RGB)


def test_an_image_gives_labels_depth_and_pictures(tmp_path, predictor, capsys):
    out = tmp_path / 'made' / 'here'
    assert run(png(tmp_path / 'room.png'), '--out', out) == 0
    assert written(out) == [f'room_{kind}.png' for kind in KINDS]
    expected = predictor(image(0))
    labels, depth = read(out / 'room_labels.png'), read(out / 'room_depth.png')
    np.testing.assert_array_equal(labels, expected.labels)
    assert (labels.dtype, depth.dtype) == (np.uint8, np.uint16)
    np.testing.assert_allclose(depth / 1000, expected.depth, atol=0.0006)
    for kind in ('confidence', 'depth_confidence'):
        np.testing.assert_array_equal(read(out / f'room_{kind}.png'), expected.map(kind))
    tinted = overlay(image(0), expected.labels, predictor.label_space)
    np.testing.assert_array_equal(read_rgb(out / 'room_overlay.png'), tinted)
    colors = colorize_depth(expected.depth, *predictor.card.depth_range)
    np.testing.assert_array_equal(read_rgb(out / 'room_depth_color.png'), colors)
    assert capsys.readouterr().out == ''


def test_the_camera_of_a_data_set_scales_the_depth(tmp_path, predictor):
    png(tmp_path / 'data' / 'rgb' / '7.png')
    camera = Intrinsics(30.0, 30.0, 31.5, 23.5, 64, 48)
    (tmp_path / 'data' / 'dataset.json').write_text(json.dumps({'rgb': 'rgb/{id}.png', **vars(camera)}))
    assert run(tmp_path / 'data', '--out', tmp_path / 'out') == 0
    expected = predictor(image(0), camera).depth
    assert not np.allclose(expected, predictor(image(0)).depth)
    np.testing.assert_allclose(read(tmp_path / 'out' / '7_depth.png') / 1000, expected, atol=0.0006)


def test_a_calibration_is_the_camera_of_what_tells_none(tmp_path, predictor):
    camera = Intrinsics(30.0, 30.0, 31.5, 23.5, 64, 48)
    file = write_calibration(tmp_path / 'camera.yaml', camera)
    inputs = (png(tmp_path / 'room.png'), video(tmp_path / 'walk.mp4', frames=1))
    assert run(*inputs, '--camera', file, '--maps', '--out', tmp_path / 'out') == 0
    expected = predictor(image(0), camera).depth
    assert not np.allclose(expected, predictor(image(0)).depth)
    np.testing.assert_allclose(read(tmp_path / 'out' / 'room_depth.png') / 1000, expected, atol=0.0006)
    of_video = read(tmp_path / 'out' / 'walk_000000_depth.png') / 1000
    np.testing.assert_allclose(np.median(of_video), np.median(expected), rtol=0.1)
    # A folder with a camera of its own keeps it.
    png(tmp_path / 'data' / 'rgb' / '7.png')
    own = Intrinsics(60.0, 60.0, 31.5, 23.5, 64, 48)
    (tmp_path / 'data' / 'dataset.json').write_text(json.dumps({'rgb': 'rgb/{id}.png', **vars(own)}))
    assert run(tmp_path / 'data', '--camera', file, '--out', tmp_path / 'own') == 0
    np.testing.assert_allclose(
        read(tmp_path / 'own' / '7_depth.png') / 1000, predictor(image(0), own).depth, atol=0.0006
    )


def test_a_calibration_that_cannot_be_used(tmp_path, capsys):
    room = png(tmp_path / 'room.png')
    assert run(room, '--camera', tmp_path / 'none.yaml', '--out', tmp_path / 'out') == 1
    assert 'none.yaml: No such file or directory: expected a calibration as camera_calib' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
    wide = write_calibration(tmp_path / 'wide.yaml', Intrinsics(30.0, 30.0, 63.5, 23.5, 128, 48))
    assert run(room, '--camera', wide, '--out', tmp_path / 'out') == 0
    assert f'room is 64x48, the camera of {wide} is for 128x48: the depth of images of' in capsys.readouterr().err


def test_a_video_gives_a_video(tmp_path, predictor):
    assert run(video(tmp_path / 'walk.mp4'), '--out', tmp_path / 'out') == 0
    assert written(tmp_path / 'out') == ['walk_overlay_depth.mp4']
    capture = cv2.VideoCapture(str(tmp_path / 'out' / 'walk_overlay_depth.mp4'))
    assert capture.get(cv2.CAP_PROP_FPS) == 8
    sizes = [capture.read()[1].shape for _ in range(3)]
    assert sizes == [(48, 128, 3)] * 3
    assert not capture.read()[0]


def test_the_maps_of_a_video_on_demand(tmp_path):
    assert run(video(tmp_path / 'walk.mp4', frames=2), '--out', tmp_path / 'out', '--maps') == 0
    frames = [f'walk_00000{index}_{kind}.png' for index in range(2) for kind in KINDS]
    assert written(tmp_path / 'out') == [*frames, 'walk_overlay_depth.mp4']


def test_inputs_of_the_same_name_are_kept_apart(tmp_path, predictor, capsys):
    first, second = png(tmp_path / 'a' / 'room.png', seed=1), png(tmp_path / 'b' / 'room.png', seed=2)
    assert run(first, second, '--out', tmp_path / 'out') == 0
    assert f'room of {second}: another input has files of this name: written as room-2' in capsys.readouterr().err
    assert len(written(tmp_path / 'out')) == 2 * len(KINDS)
    for name, seed in (('room', 1), ('room-2', 2)):
        labels = read(tmp_path / 'out' / f'{name}_labels.png')
        np.testing.assert_array_equal(labels, predictor(image(seed)).labels)


def test_files_of_the_same_name_are_kept_apart(tmp_path, capsys):
    """With depth and its confidence, `0001_depth_confidence.png` could be of `0001` and of `0001_depth`."""
    folder = tmp_path / 'rgbd'
    png(folder / '0001.png', seed=1), png(folder / '0001_depth.png', seed=2)
    assert run(folder, '--out', tmp_path / 'out', '--model', 'nyuv2_indoor') == 0
    assert '0001_depth of ' in capsys.readouterr().err
    assert len(written(tmp_path / 'out')) == 12  # two pictures, labels, depth, and a confidence of each
    confidences = [read(tmp_path / 'out' / f'{name}_depth_confidence.png') for name in ('0001', '0001_depth-2')]
    assert not np.array_equal(*confidences)


@pytest.mark.parametrize('out', ['.', 'images'])
def test_inputs_are_not_overwritten(out, tmp_path, capsys):
    png(tmp_path / 'images' / 'room.png')
    png(tmp_path / 'room.png')
    assert run(tmp_path / 'images', tmp_path / 'room.png', '--out', tmp_path / out) == 1
    assert 'could be overwritten: choose another place' in capsys.readouterr().err
    assert written(tmp_path) == ['images', 'room.png']


@pytest.mark.parametrize('form', [['--out=~/images'], ['--out', '~/images']])
def test_the_home_folder_is_what_a_tilde_says(form, tmp_path, monkeypatch, capsys):
    """A shell leaves it in `--out=~/images`. The check for inputs in the folder sees through it, too."""
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    png(tmp_path / 'images' / 'room.png')
    assert run('~/images/room.png', *form) == 1
    assert 'could be overwritten' in capsys.readouterr().err
    assert run('~/images/room.png', *(text.replace('images', 'predictions') for text in form)) == 0
    assert written(tmp_path / 'predictions') == [f'room_{kind}.png' for kind in KINDS]
    assert '~' not in written(tmp_path)


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['missing.png'], "no source 'missing.png'"),
        (['room.png', '--model', 'nonesuch'], "no model 'nonesuch'"),
        (['room.png', '--backend', 'abacus'], "unknown backend 'abacus'"),
        (['broken.png'], 'broken.png: OpenCV cannot decode it'),
    ],
)
def test_what_cannot_be_is_one_clear_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    png(tmp_path / 'room.png')
    (tmp_path / 'broken.png').write_bytes(b'no image')
    options = [] if '--backend' in arguments else BACKEND
    assert cli.main(['predict', *arguments, '--out', 'out', *options]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith('error: ')
    assert message in said[-1]


def test_of_a_bag_the_topic_that_is_asked_for(tmp_path, capsys):
    pytest.importorskip('rosbags', reason='bags need the extra `bags`')
    from bags import raw, write_bag

    bag = write_bag(tmp_path / 'walk', [('/a/image', raw(image(0))), ('/b/image', raw(image(1)))])
    assert run(bag, '--out', tmp_path / 'out', '--image-topic', '/b/image') == 0
    assert 'reading /b/image of the bag' in capsys.readouterr().err


def test_the_topic_is_that_of_the_bags_among_the_inputs(tmp_path, capsys):
    pytest.importorskip('rosbags', reason='bags need the extra `bags`')
    from bags import raw, write_bag

    bag = write_bag(tmp_path / 'walk', [('/a/image', raw(image(0))), ('/b/image', raw(image(1)))])
    room, topic = png(tmp_path / 'room.png'), ('--image-topic', '/b/image')
    assert run(room, bag, *topic, '--out', tmp_path / 'out') == 0
    assert 'reading /b/image of the bag' in capsys.readouterr().err
    assert written(tmp_path / 'out') == [*(f'room_{kind}.png' for kind in KINDS), 'walk_overlay_depth.mp4']
    assert run(room, video(tmp_path / 'walk.mp4'), *topic, '--out', tmp_path / 'none') == 1
    said = capsys.readouterr().err
    assert f'error: {room}: found a source of the kind image, and options that say how a bag is read' in said
    assert not (tmp_path / 'none').exists()


def test_nothing_is_loaded_before_all_inputs_are_found(tmp_path, capsys):
    assert run(png(tmp_path / 'room.png'), tmp_path / 'missing.png', '--out', tmp_path / 'out') == 1
    assert not (tmp_path / 'out').exists()


def test_what_is_no_measurement_is_0_in_the_file_and_black_in_the_picture(tmp_path):
    """The room with a range that ends in its middle; its floor has no depth by wish."""
    size = (160, 120)
    predictor = perfect_predictor(
        Room(), pinhole(100.0, *size), depth_range=(0.3, 3.5), invalid_depth_classes=('floor',)
    )
    write_image(tmp_path / 'room.png', np.zeros((120, 160, 3), np.uint8))
    for _ in PredictionWriter(predictor, tmp_path, maps=False).write({'room': open_source(str(tmp_path / 'room.png'))}):
        pass
    exact = Room().maps(pinhole(100.0, *size))
    measured = (exact['depth'] < 3.5) & (exact['labels'] != predictor.label_space.names.index('floor'))
    assert 0.1 < measured.mean() < 0.9
    depth = read(tmp_path / 'room_depth.png')
    assert np.array_equal(depth > 0, measured)
    assert depth[measured] / 1000 == pytest.approx(exact['depth'][measured], abs=6e-4)
    assert np.array_equal(read(tmp_path / 'room_depth_color.png').any(axis=2), measured)


def test_normals_have_a_file(tmp_path):
    predictor = perfect_predictor(Wall(2.0, (0.0, 0.28, -0.96)), pinhole(100.0, 160, 120))
    write_image(tmp_path / 'wall.png', np.zeros((120, 160, 3), np.uint8))
    for _ in PredictionWriter(predictor, tmp_path, maps=False).write({'wall': open_source(str(tmp_path / 'wall.png'))}):
        pass
    colors = np.unique(read_rgb(tmp_path / 'wall_normals.png').reshape(-1, 3), axis=0)
    assert colors.tolist() == [[128, 163, 5]]

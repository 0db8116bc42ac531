# SPDX-License-Identifier: Apache-2.0
"""`mtperception label`: arguments, messages and exit statuses."""

import os
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from calibrations import write_calibration
from onnx import TensorProto
from rooms import rooms, write_rooms
from tiny_onnx import write_mean
from tiny_tflite import write_argmax

from mtperception import cli
from mtperception.data.folder import Folder
from mtperception.media import write_image
from mtperception.teachers import TeacherOptions, open_teacher
from mtperception.types import Intrinsics

MODEL = ('--model', 'nyuv2_indoor', '--backend', 'onnxruntime', '--device', 'cpu')


@pytest.fixture
def images(tmp_path):
    """Two images: red beside green, and green beside blue."""
    red, green, blue = ([[color] * 32] * 32 for color in ((200, 0, 0), (0, 200, 0), (0, 0, 200)))
    (tmp_path / 'images').mkdir()
    for name, halves in (('a', (red, green)), ('b', (green, blue))):
        write_image(tmp_path / 'images' / f'{name}.png', np.concatenate(halves, axis=1).astype(np.uint8))
    return tmp_path / 'images'


LEVEL = ('--camera-height', '1.5', '--horizon', '3')


def run(*arguments):
    return cli.main(['label', *map(str, arguments)])


def test_a_model_labels_and_says_how_much(images, tmp_path, capsys):
    assert run(images, *MODEL, '--out', tmp_path / 'out', '--split', 'street') == 0
    said = capsys.readouterr()
    assert said.out == ''
    assert f'{tmp_path / "out"}: 2 images labelled in ' in said.err
    sample = Folder(tmp_path / 'out', 'street')[0]
    assert sample.labels is not None
    assert sample.depth is not None
    assert run(images, *MODEL, '--out', tmp_path / 'out', '--split', 'street') == 0
    assert '0 images labelled in' in (again := capsys.readouterr().err)
    assert again.rstrip().endswith(', 2 already existed')


def test_options_reach_the_labels(images, tmp_path):
    out = tmp_path / 'out'
    assert run(images, *MODEL, '--out', out, '--task', 'segmentation', '--grouping', 'nyuv2_13') == 0
    labelled = Folder(out, 'train')
    assert labelled.label_space == 'nyuv2_13'
    assert labelled[0].depth is None
    assert run(images, *MODEL, '--out', tmp_path / 'sure', '--task', 'segmentation', '--minimum-confidence', '1') == 0
    assert (Folder(tmp_path / 'sure', 'train')[0].labels == 255).mean() > 0.9


def test_the_camera_of_a_calibration_file_scales_the_depth(images, tmp_path, capsys):
    camera = Intrinsics(30.0, 30.0, 31.5, 15.5, 64, 32)
    file = write_calibration(tmp_path / 'camera.yaml', camera)
    assert run(images, *MODEL, '--camera', file, '--out', tmp_path / 'out') == 0
    sample = Folder(tmp_path / 'out', 'train')[0]
    assert sample.intrinsics == camera
    with closing(open_teacher('nyuv2_indoor', TeacherOptions(backend='onnxruntime', device='cpu'))) as teacher:
        np.testing.assert_allclose(sample.depth, teacher(sample.image, camera).measured_depth, atol=6e-4)
        assert not np.allclose(sample.depth, teacher(sample.image, None).measured_depth, atol=6e-4)
    write_calibration(file, replace(camera, fx=60.0))
    assert run(images, *MODEL, '--camera', file, '--out', tmp_path / 'out') == 1
    assert 'camera' in capsys.readouterr().err
    assert run(tmp_path / 'out', *MODEL, '--camera', file, '--task', 'depth', '--out', tmp_path / 'again') == 1
    assert 'dataset.json has a camera: expected no other one' in capsys.readouterr().err


def test_depth_of_flat_ground(tmp_path):
    """Of the floor that the model sees in the rendered room: the camera is that of dataset.json."""
    source = write_rooms(tmp_path / 'source', rooms(2, 320, 240), depth=None)
    level = ('--camera-height', '1.5', '--task', 'depth', '--split', 'test')
    for name, more in (('cy', ()), ('row', ('--horizon', '100'))):
        assert run(source, *MODEL, *level, *more, '--out', tmp_path / name) == 0
    camera = rooms(1, 320, 240)[0].intrinsics
    for name, horizon in (('cy', camera.cy), ('row', 100)):
        depth = Folder(tmp_path / name, 'test')[0].depth
        nearest = camera.fy * 1.5 / (239 - horizon)
        assert np.nanmin(np.where(depth > 0, depth, np.nan)[-1]) == pytest.approx(nearest, abs=0.01)


def test_a_horizon_below_the_image_fails_each_image(images, tmp_path, capsys):
    assert run(images, *MODEL, '--camera-height', '1.5', '--horizon', '500', '--out', tmp_path / 'out') == 1
    assert 'horizon 500 of an image of 32 rows: no ground below it' in capsys.readouterr().err


def test_a_tflite_network_labels(images, tmp_path):
    pytest.importorskip('ai_edge_litert', reason='pip install "mtperception[teachers]"')
    network = write_argmax(tmp_path / 'argmax.tflite', side=32)
    options = ['--label-space', 'cityscapes_19', '--grouping', 'kitti_6', '--out', tmp_path / 'out']
    assert run(images, '--model', network, *options) == 0
    # Red, green, blue: road, sidewalk, building of Cityscapes; 2, 3, 1 of KITTI-6.
    labels = [sample.labels for sample in Folder(tmp_path / 'out', 'train')]
    assert [values[5, [3, 60]].tolist() for values in labels] == [[2, 3], [3, 1]]


def test_a_second_opinion_corrects_labels(tmp_path, capsys):
    pytest.importorskip('ai_edge_litert', reason='pip install "mtperception[teachers]"')
    network = write_argmax(tmp_path / 'argmax.tflite', side=32)
    judged_on = write_rooms(tmp_path / 'judged', rooms(3))
    (judged_on / 'test.txt').rename(judged_on / 'train.txt')
    images = write_rooms(tmp_path / 'images', rooms(2), labels=None, depth=None) / 'rgb'
    second = ('--second-opinion', network, '--judged-on', judged_on)
    assert run(images, *MODEL, *second, '--out', tmp_path / 'both', '--workers', '1') == 0
    options = TeacherOptions(
        backend='onnxruntime', device='cpu', second_opinions=(str(network),), judged_on=str(judged_on)
    )
    with closing(open_teacher('nyuv2_indoor', options)) as teacher:
        for sample in Folder(tmp_path / 'both', 'train'):
            np.testing.assert_array_equal(sample.labels, teacher(sample.image, None).labels)
    assert run(images, *MODEL, *second, '--out', tmp_path / 'both') == 0
    assert ', 2 already existed' in capsys.readouterr().err
    assert run(images, *MODEL, '--out', tmp_path / 'both') == 1
    assert 'nyuv2_indoor with argmax' in capsys.readouterr().err


def test_other_networks_correct_the_shape_of_depth(tmp_path, capsys):
    takes = {'shape': (1, 36, 48, 3), 'kind': TensorProto.UINT8, 'axes': (3,)}
    bright, dark = (
        write_mean(tmp_path / 'bright.onnx', **takes),
        write_mean(tmp_path / 'dark.onnx', **takes, negative=True),
    )
    images = write_rooms(tmp_path / 'images', rooms(2), labels=None, depth=None) / 'rgb'
    opinions = ('--depth-opinion', bright, '--disparity-opinion', dark)
    assert run(images, *MODEL, *opinions, '--out', tmp_path / 'both', '--workers', '1') == 0
    options = TeacherOptions(
        backend='onnxruntime', device='cpu', depth_opinions=(str(bright),), disparity_opinions=(str(dark),)
    )
    with closing(open_teacher('nyuv2_indoor', options)) as teacher:
        for sample in Folder(tmp_path / 'both', 'train'):
            prediction = teacher(sample.image, None)
            np.testing.assert_array_equal(sample.labels, prediction.labels)
            np.testing.assert_allclose(sample.depth, prediction.depth, atol=1 / 512)
    assert run(images, *MODEL, '--depth-opinion', bright, '--out', tmp_path / 'both') == 1
    assert 'nyuv2_indoor with depth of bright and dark' in capsys.readouterr().err


def test_a_list_of_ids_says_which_images_of_a_folder(images, tmp_path, capsys):
    """A file of any name, or one in the folder; the list of the result has its name."""
    (tmp_path / 'mine.txt').write_text('b\n')
    (images / 'first.txt').write_text('a\n')
    for split, name, expected in ((tmp_path / 'mine.txt', 'mine', 'b'), ('first', 'first', 'a')):
        out = tmp_path / name
        assert run(images, *MODEL, '--task', 'depth', '--split', split, '--out', out) == 0
        assert f'{out}: 1 images labelled in ' in capsys.readouterr().err
        assert [path.name for path in out.glob('*.txt')] == [f'{name}.txt']
        assert Folder(out, name).ids == [expected]
        assert [path.name for path in (out / 'depth').iterdir()] == [f'{expected}.png']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['images', *MODEL, '--split', 'wrong.txt'], "wrong.txt: lists 'c.png', which images does not have: expected"),
        (['images', *MODEL, '--split', 'lost.txt'], "images: no list 'lost.txt': expected the path of a file with one"),
        (
            ['images', *MODEL, '--split', 'lists/val'],
            "images: no list 'lists/val': expected the path of a file with on",
        ),
        (['images', *MODEL, '--depth-opinion', 'missing.onnx'], 'missing.onnx: no such file'),
        (['images', *MODEL, '--disparity-opinion', 'street'], 'street: expected a depth network in a file that ends'),
        (['images', *MODEL, '--depth-opinion', 'a.onnx', '--task', 'segmentation'], 'no depth would be written'),
        (['images', *MODEL, '--second-opinion', 'street'], 'second opinions need a labelled data set'),
        (['images', *MODEL, '--second-opinion', 'street', '--task', 'depth'], 'no labels would be written'),
        (['missing', *MODEL], 'missing: no such folder'),
        (['images', '--model', 'nonesuch'], "no model 'nonesuch'"),
        (['images', *MODEL, '--grouping', 'kitti_6'], "no grouping 'kitti_6' of nyuv2_40"),
        (['images', *MODEL, '--label-space', 'nyuv2_40'], 'its card has one'),
        (['images', *MODEL, '--horizon', '3'], 'horizon 3 given: expected a camera height too'),
        (['images', *MODEL, '--camera-height', '1.5'], 'images has no camera: expected fx, fy, cx, cy, width and h'),
        (['images', *MODEL, *LEVEL, '--horizon', 'nan'], 'horizon nan: expected a row, in pixels'),
        (['images', *MODEL, *LEVEL, '--task', 'segmentation'], 'no depth would be written: expected --task depth'),
    ],
)
def test_what_cannot_be_is_one_clear_line(arguments, message, images, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'wrong.txt').write_text('a\nc.png\n')
    assert run(*arguments, '--out', 'out') == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1].startswith('error: ')
    assert message in said[-1]
    assert not (tmp_path / 'out').exists()


def test_a_name_that_is_not_utf_8_is_said_before_the_work(images, tmp_path, capsys):
    """It could not stand in the list of what was labelled."""
    (images / os.fsdecode(b'caf\xe9.png')).write_bytes((images / 'a.png').read_bytes())
    assert run(images, *MODEL, '--out', tmp_path / 'out') == 1
    assert r"found the name b'caf\xe9', expected UTF-8: rename the file" in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_shards_say_what_is_left_to_do(images, tmp_path, capsys):
    assert run(images, *MODEL, '--out', tmp_path / 'out', '--shard', '1/2') == 0
    assert '1 of 2 images are not labelled yet: run the other shards' in capsys.readouterr().err
    assert not (tmp_path / 'out' / 'train.txt').exists()
    assert run(images, *MODEL, '--out', tmp_path / 'out', '--shard', '2/2') == 0
    assert 'not labelled' not in capsys.readouterr().err
    assert len(Folder(tmp_path / 'out', 'train')) == 2


def test_a_bad_image_is_listed_at_the_end_and_the_rest_is_done(images, tmp_path, capsys):
    (images / 'a.png').write_bytes(b'no picture')
    assert run(images, *MODEL, '--out', tmp_path / 'out') == 1
    said = capsys.readouterr().err.splitlines()
    assert '1 images labelled' in said[-3]
    assert said[-2].startswith('a: ')
    assert 'a.png: OpenCV cannot decode it' in said[-2]
    assert said[-1] == 'error: 1 images failed: repair them or remove them from train, then run it again'
    assert (tmp_path / 'out' / 'labels' / 'b.png').exists()


@pytest.mark.parametrize(
    'arguments',
    [
        [],
        ['--task', 'colour'],
        ['--camera-height', 'inf'],
        ['--minimum-confidence', '2'],
        ['--minimum-confidence', '-1'],
        ['--shard', '3/2'],
    ],
)
def test_wrong_usage(arguments, images, tmp_path):
    model = MODEL if arguments else ()
    assert run(images, *model, '--out', tmp_path / 'out', *arguments) == 2

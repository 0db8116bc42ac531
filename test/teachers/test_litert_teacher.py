# SPDX-License-Identifier: Apache-2.0
"""Networks for LiteRT as teachers: a hand-made one, and the Cityscapes teacher where it is at hand."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_tflite import write_argmax

from mtperception.card import sha256
from mtperception.data.folder import Folder
from mtperception.labels import load_label_space
from mtperception.teachers import TeacherError, TeacherOptions, open_teacher

SHARED = Path(__file__).resolve().parents[3] / 'shared'
TEACHER = SHARED / 'weights' / 'cityscapes_teacher.tflite'
RED, GREEN, BLUE = (200, 10, 10), (10, 200, 10), (10, 10, 200)


@pytest.fixture(autouse=True)
def litert():
    """The interpreter, without which nothing here runs."""
    return pytest.importorskip('ai_edge_litert', reason='pip install "mtperception[teachers]"')


@pytest.fixture
def argmax(tmp_path):
    return write_argmax(tmp_path / 'argmax.tflite')


def loaded(path, space='kitti_6', **options):
    return open_teacher(str(path), TeacherOptions(space, **options))


def test_no_depth_by_geometry(argmax):
    with pytest.raises(TeacherError, match='camera height given: expected a model directory'):
        loaded(argmax, camera_height=1.5)


def stripes(height, *bands):
    """Vertical bands of (color, width)."""
    return np.hstack([np.full((height, width, 3), color, np.uint8) for color, width in bands])


@pytest.mark.parametrize('height', [8, 16, 4])
def test_a_wide_image_is_labelled_in_its_own_pixels(argmax, height):
    """At the network's size, reduced and enlarged: bands are multiples of two pixels, so no scale blurs a border."""
    image = stripes(height, (RED, height), (GREEN, 2 * height), (BLUE, height))
    labels = loaded(argmax)(image, None).labels
    assert labels.dtype == np.uint8
    assert labels.shape == (height, 4 * height)
    inner = [height // 2, 2 * height, 4 * height - 1]
    assert labels[:, inner].tolist() == [[0, 1, 2]] * height
    if height == 8:
        np.testing.assert_array_equal(labels, image.argmax(axis=2))


def test_a_tall_image_too(argmax):
    image = stripes(8, (RED, 8), (GREEN, 4), (BLUE, 8)).transpose(1, 0, 2)
    np.testing.assert_array_equal(loaded(argmax)(image, None).labels, image.argmax(axis=2))


def test_what_is_no_class_is_unlabelled(argmax, tmp_path):
    space = tmp_path / 'two.yaml'
    space.write_text('classes: [{name: a, color: [0, 0, 1]}, {name: b, color: [0, 0, 2]}]')
    labels = loaded(argmax, str(space))(stripes(8, (BLUE, 4), (GREEN, 4)), None).labels
    assert labels[0].tolist() == [255] * 4 + [1] * 4


def test_it_says_what_it_is(argmax):
    opened = loaded(argmax)
    assert (opened.name, opened.sha256, opened.tasks) == ('argmax', sha256(argmax), ('segmentation',))
    assert opened.label_space is load_label_space('kitti_6')
    assert not opened.gives_confidence


def test_what_cannot_be_used_is_said(argmax, tmp_path):
    with pytest.raises(TeacherError, match=r'argmax\.tflite: no label space given'):
        loaded(argmax, '')
    with pytest.raises(TeacherError, match='device given, but LiteRT always runs on the CPU'):
        loaded(argmax, device='cuda:0')
    with pytest.raises(TeacherError, match=r'missing\.tflite: no such file'):
        loaded(tmp_path / 'missing.tflite')
    (tmp_path / 'text.tflite').write_text('no network')
    with pytest.raises(TeacherError, match=r'text\.tflite: not a network that LiteRT can run'):
        loaded(tmp_path / 'text.tflite')
    with pytest.raises(TeacherError, match='found uint8 1x8x8x4, int64 1x8x8: expected one input, uint8 1xSxSx3'):
        loaded(write_argmax(tmp_path / 'four.tflite', channels=4))
    with pytest.raises(TeacherError, match='found float32 1x8x8x3, int64 1x8x8: expected'):
        loaded(write_argmax(tmp_path / 'float.tflite', kind='float32'))


def test_without_litert_the_error_names_the_extra(argmax):
    code = (
        'import sys; sys.modules["ai_edge_litert"] = None\n'
        'from mtperception.teachers import TeacherOptions, open_teacher\n'
        f'open_teacher({str(argmax)!r}, TeacherOptions("kitti_6"))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert 'pip install "mtperception[teachers]"' in done.stderr.splitlines()[-1]


@pytest.mark.skipif(not TEACHER.exists(), reason='needs the Cityscapes teacher')
def test_the_teacher_agrees_with_people_on_streets():
    """Nine in ten labelled pixels; a wrong order of classes or channels would be far below."""
    teacher = loaded(TEACHER, 'cityscapes_19')
    table = teacher.label_space.grouping('kitti_6')
    camvid = Folder(SHARED / 'data' / 'camvid', 'train')
    right = total = 0
    for index in range(0, len(camvid), 60):
        sample = camvid[index]
        labels = table[teacher(sample.image, None).labels]
        known = (labels != 255) & (sample.labels != 255)
        right += np.count_nonzero((labels == sample.labels) & known)
        total += np.count_nonzero(known)
    assert right / total > 0.85

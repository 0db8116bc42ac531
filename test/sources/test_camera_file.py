# SPDX-License-Identifier: Apache-2.0
"""Calibrations in YAML files."""

import json

import numpy as np
import pytest

from mtperception.errors import SourceError
from mtperception.media import write_image
from mtperception.sources import SourceOptions, open_source
from mtperception.sources.camera_file import read_camera
from mtperception.types import Intrinsics

# As camera_calibration writes it.
CALIBRATION = """image_width: 640
image_height: 480
camera_name: head_camera
camera_matrix:
  rows: 3
  cols: 3
  data: [520.5,   0.  , 321. ,
           0.  , 521. , 240.5,
           0.  ,   0.  ,   1.  ]
distortion_model: plumb_bob
distortion_coefficients:
  rows: 1
  cols: 5
  data: [0.1, -0.2, 0.001, 0.002, 0.]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1., 0., 0., 0., 1., 0., 0., 0., 1.]
projection_matrix:
  rows: 3
  cols: 4
  data: [500., 0., 319., 0.,
         0., 502., 239., 0.,
         0., 0., 1., 0.]
"""
RECTIFIED = Intrinsics(500, 502, 319, 239, 640, 480)


def written(tmp_path, text):
    (tmp_path / 'camera.yaml').write_text(text, encoding='utf-8')
    return str(tmp_path / 'camera.yaml')


def test_the_rectified_camera_counts(tmp_path):
    assert read_camera(written(tmp_path, CALIBRATION)) == RECTIFIED


def test_without_it_the_camera_matrix_does(tmp_path):
    camera = read_camera(written(tmp_path, CALIBRATION[: CALIBRATION.index('projection_matrix')]))
    assert camera == Intrinsics(520.5, 521, 321, 240.5, 640, 480)


def test_numbers_as_yaml_1_1_does_not_know_them(tmp_path):
    """PyYAML takes a number without a decimal point but with an exponent for text; C++ writes such."""
    text = CALIBRATION.replace('data: [500., 0.,', 'data: [5e2, 1e-05,')
    assert read_camera(written(tmp_path, text)) == RECTIFIED


def folder(tmp_path, sizes, camera=None):
    for name, (width, height) in sizes.items():
        write_image(tmp_path / 'images' / f'{name}.png', np.zeros((height, width, 3), np.uint8))
    if camera:
        (tmp_path / 'images' / 'dataset.json').write_text(json.dumps(vars(camera)))
    return open_source(str(tmp_path / 'images'), SourceOptions(camera_file=written(tmp_path, CALIBRATION)))


def test_images_of_another_shape_stay_without_a_camera(tmp_path):
    source = folder(tmp_path, {'a': (64, 48), 'b': (48, 64), 'c': (48, 64), 'd': (128, 96)})
    assert source.count == 4
    assert source.description.endswith(f'(images: 4) (camera: {tmp_path / "camera.yaml"})')
    assert source.notes == ()
    for _ in range(2):  # a player reads it again and again
        cameras = [frame.intrinsics for frame in source]
        assert cameras == [RECTIFIED.resized(64, 48), None, None, RECTIFIED.resized(128, 96)]
    [note] = source.notes
    assert note.startswith(f'b is 48x64, the camera of {tmp_path / "camera.yaml"} is for 640x480')


def test_images_with_a_camera_keep_it_and_it_is_told(tmp_path):
    own = Intrinsics(30.0, 31.0, 31.5, 23.5, 64, 48)
    source = folder(tmp_path, {'a': (64, 48), 'b': (64, 48)}, own)
    assert [frame.intrinsics for frame in source] == [own, own]
    [note] = source.notes
    assert note.startswith(f'{tmp_path / "camera.yaml"} is not used: ')


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('image_width: 640', 'image_width: wide', "image_width is 'wide', not a number of pixels"),
        ('image_height: 480', 'image_height: true', 'image_height is True, not a number of pixels'),
        ('image_height: 480', '', 'image_height is None, not a number of pixels'),
        ('camera_matrix:', 'camera matrix:', 'camera_matrix is None, without data of 9 numbers'),
        ('data: [500., 0., 319., 0.,', 'data: [500., 0., 319.,', 'without data of 12 numbers'),
        (
            'data: [500., 0., 319., 0.,',
            'data: [fx, 0., 319., 0.,',
            "data of projection_matrix: could not convert string to float: 'fx'",
        ),
        ('data: [500., 0., 319., 0.,', 'data: [1., 0., 319., 0.,', 'is K the identity, a placeholder'),
        ('data: [500., 0., 319., 0.,', 'data: [.inf, 0., 319., 0.,', 'expected finite numbers'),
        (
            'data: [500., 0., 319., 0.,',
            'data: [' + 400 * '9' + ', 0., 319., 0.,',
            'data of projection_matrix: int too large',
        ),
        (CALIBRATION, '- 1', 'found list: expected a calibration as camera_calibration'),
        (CALIBRATION, 'a: [', 'expected a calibration as camera_calibration'),
        (CALIBRATION, '', 'found NoneType: expected a calibration as camera_calibration'),
    ],
)
def test_what_is_no_calibration_is_said(tmp_path, old, new, message):
    assert old in CALIBRATION
    with pytest.raises(SourceError) as error:
        read_camera(written(tmp_path, CALIBRATION.replace(old, new)))
    assert str(error.value).startswith(str(tmp_path / 'camera.yaml'))
    assert message in str(error.value)


def test_a_folder_is_no_calibration(tmp_path):
    with pytest.raises(SourceError, match='not a plain file'):
        read_camera(str(tmp_path))

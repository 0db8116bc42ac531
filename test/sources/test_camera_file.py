# SPDX-License-Identifier: Apache-2.0
"""Calibrations in YAML files."""

import logging

import numpy as np
import pytest

from mtperception.errors import SourceError
from mtperception.media import write_image
from mtperception.sources import SourceOptions, open_source
from mtperception.sources.camera_file import CameraFile
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
    camera = CameraFile(written(tmp_path, CALIBRATION))
    assert camera.for_image(640, 480) == RECTIFIED
    assert camera.for_image(320, 240) == RECTIFIED.resized(320, 240)


def test_without_it_the_camera_matrix_does(tmp_path):
    camera = CameraFile(written(tmp_path, CALIBRATION[: CALIBRATION.index('projection_matrix')]))
    assert camera.for_image(640, 480) == Intrinsics(520.5, 521, 321, 240.5, 640, 480)


def test_images_of_another_shape_stay_without_a_camera(tmp_path, caplog):
    for name, (width, height) in {'a': (64, 48), 'b': (48, 64), 'c': (48, 64), 'd': (128, 96)}.items():
        write_image(tmp_path / 'images' / f'{name}.png', np.zeros((height, width, 3), np.uint8))
    options = SourceOptions(camera_file=written(tmp_path, CALIBRATION))
    source = open_source(str(tmp_path / 'images'), options)
    assert source.count == 4
    assert 'the folder' in source.description
    with caplog.at_level(logging.WARNING):
        cameras = [frame.intrinsics for frame in source]
    assert cameras == [RECTIFIED.resized(64, 48), None, None, RECTIFIED.resized(128, 96)]
    [record] = caplog.records
    assert record.getMessage().startswith(f'b: {tmp_path / "camera.yaml"}: found a camera_info for 640x480')


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ('image_width: 640', 'image_width: wide', "image_width is 'wide': expected a number of pixels"),
        ('image_height: 480', 'image_height: true', 'image_height is True: expected a number of pixels'),
        ('image_height: 480', '', 'image_height is None: expected a number of pixels'),
        ('camera_matrix:', 'camera matrix:', 'camera_matrix is None: expected data with 9 numbers'),
        ('data: [500., 0., 319., 0.,', 'data: [500., 0., 319.,', 'expected data with 12 numbers'),
        ('data: [500., 0., 319., 0.,', 'data: [fx, 0., 319., 0.,', 'expected data with 12 numbers'),
        ('data: [500., 0., 319., 0.,', 'data: [1., 0., 319., 0.,', 'is K the identity, a placeholder'),
        ('data: [500., 0., 319., 0.,', 'data: [.inf, 0., 319., 0.,', 'expected finite numbers'),
        (CALIBRATION, '- 1', 'found list: expected a calibration as camera_calibration'),
        (CALIBRATION, 'a: [', 'expected a calibration as camera_calibration'),
        (CALIBRATION, '', 'found NoneType: expected a calibration as camera_calibration'),
    ],
)
def test_what_is_no_calibration_is_said(tmp_path, old, new, message):
    assert old in CALIBRATION
    with pytest.raises(SourceError) as error:
        CameraFile(written(tmp_path, CALIBRATION.replace(old, new)))
    assert str(error.value).startswith(str(tmp_path / 'camera.yaml'))
    assert message in str(error.value)


def test_a_folder_is_no_calibration(tmp_path):
    with pytest.raises(SourceError, match='not a plain file'):
        CameraFile(str(tmp_path))

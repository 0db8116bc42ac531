# SPDX-License-Identifier: Apache-2.0
"""Depth from the ground plane: by hand, in a rendered room, and as a teacher."""

import math
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from mtperception.data.dataset import DatasetError
from mtperception.data.folder import Folder
from mtperception.input_policy import InputPolicy, TrainingCamera
from mtperception.labels import TRAVERSABLE, load_label_space
from mtperception.media import write_image
from mtperception.synthetic import LABEL_SPACE, SyntheticRoom
from mtperception.teachers import TeacherError, TeacherOptions, open_teacher
from mtperception.teachers.annotations import depth_annotation
from mtperception.teachers.ground_plane import MAX_STEP, depth_of_rows, ground_depth
from mtperception.teachers.image_set import open_images
from mtperception.teachers.labelling import Request, label_images
from mtperception.types import Intrinsics, Prediction

FLAT = TeacherOptions(backend='onnxruntime', device='cpu', camera_height=1.5)
LEVEL = np.array([[0, 0, 1, 0.6], [-1, 0, 0, 2.7], [0, -1, 0, 1.2], [0, 0, 0, 1]], float)
"""A camera 1.2 m above the floor that looks along the room."""


def test_rows_of_flat_ground():
    # 700 pixels, 1.5 m: 25 rows below the horizon it is 42 m, 50 rows below 21 m. 24 rows are too few for 4 %.
    depth = depth_of_rows(120, 700 * 1.5, 50.0)
    assert depth.dtype == np.float32
    assert depth[[75, 100]].tolist() == [42, 21]
    assert not depth[:75].any()
    assert depth_of_rows(120, 700 * 1.5, 200.0).max() == 0


def test_what_stands_on_the_ground_is_as_far_as_its_foot():
    ground, upright = np.zeros(256, bool), np.zeros(256, bool)
    ground[1] = upright[[2, 3]] = True
    labels = np.array(
        [
            [0, 2, 3, 2],  # 0 is sky
            [0, 2, 2, 2],
            [1, 2, 2, 255],
            [1, 1, 2, 2],
            [1, 1, 1, 2],
        ],
        np.uint8,
    )
    depth = ground_depth(labels, np.array([0, 0, 9, 5, 3], np.float32), ground, upright)
    assert depth.tolist() == [
        [0, 5, 0, 0],  # 3 stands behind 2, who knows how far; the last column shows no foot
        [0, 5, 3, 0],
        [9, 5, 3, 0],
        [5, 5, 3, 0],
        [3, 3, 3, 0],
    ]


def test_the_floor_of_a_rendered_room():
    """Exact but for the rug, a centimetre high; what faces the camera is off by a row at most."""
    room = SyntheticRoom(320, 240)
    sample = room.render(LEVEL)
    space = load_label_space(LABEL_SPACE)
    ground = space.mark(space.navigation[TRAVERSABLE]) > 0
    by_row = depth_of_rows(240, room.intrinsics.fy * 1.2, room.intrinsics.cy)
    depth = ground_depth(sample.labels, by_row, ground, ~ground)
    floor = ground[sample.labels] & (by_row > 0)[:, None]
    assert floor.mean() > 0.1
    np.testing.assert_allclose(depth[floor], sample.depth[floor], rtol=0.01)
    assert np.isclose(depth[floor], sample.depth[floor], rtol=1e-5).mean() > 0.7
    standing = (depth > 0) & ~floor
    ratio = sample.depth[standing] / depth[standing]
    assert standing.mean() > 0.1
    assert np.median(np.abs(ratio - 1)) < MAX_STEP


@pytest.fixture(scope='module')
def teacher():
    with closing(open_teacher('nyuv2_indoor', FLAT)) as opened:
        yield opened


def test_a_teacher_of_flat_ground(teacher):
    room = SyntheticRoom(640, 480)
    prediction = teacher(room.render(LEVEL).image, room.intrinsics)
    floor = teacher.label_space.indices(['floor'])[0]
    rows, columns = np.nonzero((prediction.labels == floor) & (prediction.depth > 0))
    assert len(rows) > 1000
    expected = room.intrinsics.fy * 1.5 / (rows - room.intrinsics.cy)
    np.testing.assert_allclose(prediction.depth[rows, columns], expected, rtol=1e-5)
    ceiling = teacher.label_space.indices(['ceiling'])[0]
    assert not prediction.depth[prediction.labels == ceiling].any()
    assert prediction.confidence is not None


def test_without_a_camera_it_is_that_of_the_model(teacher):
    image = SyntheticRoom(640, 480).render(LEVEL).image
    with pytest.raises(TeacherError, match='no camera and no horizon'):
        teacher(image, None)
    with closing(open_teacher('nyuv2_indoor', TeacherOptions('', 'onnxruntime', 'cpu', 'auto', 1.5, 239.5))) as level:
        depth = level(image, None).depth
    # The model learnt with a focal length of 518.86 pixels for images of 640x480.
    assert level.sha256 != teacher.sha256
    values = np.unique(depth[450:])
    np.testing.assert_allclose(values[values > 0].min(), 518.86 * 1.5 / (479 - 239.5), rtol=1e-3)


def test_a_data_set_of_one_height(tmp_path, teacher):
    """Written with the labels; another height is another teacher, which may not go on."""
    room = SyntheticRoom(320, 240)
    (tmp_path / 'images').mkdir()
    write_image(tmp_path / 'images' / 'a.png', room.render(LEVEL).image)
    camera = room.intrinsics
    fields = ', '.join(f'"{name}": {getattr(camera, name)}' for name in Intrinsics.__dataclass_fields__)
    (tmp_path / 'images' / 'dataset.json').write_text(f'{{"rgb": "{{id}}.png", {fields}}}')
    (tmp_path / 'images' / 'train.txt').write_text('a\n')
    images = open_images(tmp_path / 'images', 'train')
    label_images(images, teacher, tmp_path / 'out', Request())
    sample = Folder(tmp_path / 'out', 'train')[0]
    expected = teacher(sample.image, camera)
    np.testing.assert_array_equal(sample.labels, expected.labels)
    np.testing.assert_allclose(np.nan_to_num(sample.depth), expected.depth, atol=0.00196)  # steps of 1/256 m
    higher = TeacherOptions('', 'onnxruntime', 'cpu', 'auto', 1.6)
    with (
        closing(open_teacher('nyuv2_indoor', higher)) as other,
        pytest.raises(DatasetError, match=r'made with expert .* at 1\.5 m above flat ground'),
    ):
        label_images(images, other, tmp_path / 'out', Request())


def test_far_ground_is_stored(teacher):
    """Though the model itself ends at 10 m, and millimetres in 16 bits at 65 m."""
    stored = depth_annotation(teacher)
    raw = stored.encode(Prediction(depth=np.array([[100.0]], np.float32)))
    assert raw[0, 0] * stored.entries['depth_scale'] == pytest.approx(100, abs=0.005)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (replace(FLAT, camera_height=math.nan), 'camera height nan m: expected metres'),
        (replace(FLAT, camera_height=-1.0), 'camera height -1 m: expected metres'),
        (replace(FLAT, horizon=math.inf), 'horizon inf: expected a row'),
        (replace(FLAT, camera_height=0.0, horizon=3.0), 'horizon 3 given: expected a camera height too'),
    ],
)
def test_heights_and_rows_that_cannot_be(options, message):
    with pytest.raises(TeacherError, match=message):
        open_teacher('nyuv2_indoor', options)


def test_a_focal_length_along_rows_only(monkeypatch, teacher):
    """A card may have fx alone; an image stretched to a square still has square pixels."""
    predictor = teacher._predictor
    stretched = InputPolicy('stretch', 320, 320)
    monkeypatch.setattr(predictor, 'input_policy', stretched)
    monkeypatch.setattr(
        predictor, 'card', replace(predictor.card, camera=TrainingCamera(500.0, 640, 480), input=stretched)
    )
    assert teacher._focal_length(np.zeros((480, 640, 3), np.uint8), None) == pytest.approx(500)

# SPDX-License-Identifier: Apache-2.0
"""How a teacher's answers are stored."""

from types import SimpleNamespace

import numpy as np
import pytest

from mtperception.data.dataset import DatasetError
from mtperception.labels import load_label_space
from mtperception.teachers.annotations import depth_annotation, labels_annotation
from mtperception.teachers.teacher import TeacherError
from mtperception.types import Prediction


def teacher(space='cityscapes_19', confidence=True, max_depth=10.0):
    """What the storage depends on."""
    return SimpleNamespace(
        name='someone', label_space=load_label_space(space), gives_confidence=confidence, max_depth=max_depth
    )


STREET = Prediction(
    labels=np.array([[0, 9, 14, 3, 255]], np.uint8),  # road, terrain, truck, wall, nothing
    confidence=np.array([[255, 128, 127, 255, 255]], np.uint8),
)


def test_labels_of_the_teachers_own_classes():
    annotation = labels_annotation(teacher(), '', 0.0)
    assert annotation.encode(STREET).tolist() == [[0, 9, 14, 3, 255]]
    assert annotation.entries['label_space'] == 'cityscapes_19'
    assert annotation.entries['ignore_index'] == 255


def test_grouped_labels_leave_out_what_has_no_counterpart():
    annotation = labels_annotation(teacher(), 'kitti_6', 0.0)
    encoded = annotation.encode(STREET)
    assert encoded.dtype == np.uint8
    assert encoded.tolist() == [[2, 4, 5, 255, 255]]  # road, vegetation, car
    assert annotation.entries['label_space'] == 'kitti_6'


def test_unsure_labels_are_left_out():
    # Half sure is 127.5 of 255: 127 is less, 128 is not.
    assert labels_annotation(teacher(), '', 0.5).encode(STREET).tolist() == [[0, 9, 255, 3, 255]]
    assert labels_annotation(teacher(), 'kitti_6', 1.0).encode(STREET).tolist() == [[2, 255, 255, 255, 255]]
    assert STREET.labels.tolist() == [[0, 9, 14, 3, 255]]


def test_what_cannot_be_stored_is_said():
    with pytest.raises(TeacherError, match='someone gives no confidence'):
        labels_annotation(teacher(confidence=False), '', 0.5)
    with pytest.raises(ValueError, match="no grouping 'nyuv2_13' of cityscapes_19"):
        labels_annotation(teacher(), 'nyuv2_13', 0.0)
    with pytest.raises(ValueError, match=r"no grouping 'nonesuch' of cityscapes_19: expected one of: .*kitti_6"):
        labels_annotation(teacher(), 'nonesuch', 0.0)


def test_a_label_space_of_your_own_is_found_again_by_its_path(tmp_path):
    path = tmp_path / 'mine.yaml'
    path.write_text('classes: [{name: a, color: [0, 0, 1]}]')
    assert labels_annotation(teacher(str(path)), '', 0.0).entries['label_space'] == str(path)


def test_an_id_does_not_lead_out_of_the_folder(tmp_path):
    annotation = labels_annotation(teacher(), '', 0.0)
    assert annotation.path(tmp_path, 'a/..b') == tmp_path / 'labels' / 'a' / '..b.png'
    with pytest.raises(DatasetError, match=r"its annotations would be outside of .*: expected an id without '\.\.'"):
        annotation.path(tmp_path, '../../rgb/000')


@pytest.mark.parametrize(
    ('max_depth', 'depth', 'raw'),
    [
        # Millimetres: 65.535 m is the last that 16 bits can say.
        (10.0, [0.0, 0.5, 1.2346, 65.535, 65.54, np.nan, -1.0], [0, 500, 1235, 65535, 0, 0, 0]),
        # Steps of 1/256 m: 80 m is 20480, and 255.996 m the last.
        (80.0, [0.0, 0.5, 80.0, 255.996, 256.0, np.inf, -1.0], [0, 128, 20480, 65535, 0, 0, 0]),
    ],
)
def test_depth_in_steps_that_reach_far_enough(max_depth, depth, raw):
    annotation = depth_annotation(teacher(max_depth=max_depth))
    encoded = annotation.encode(Prediction(depth=np.array([depth], np.float32)))
    assert encoded.dtype == np.uint16
    assert encoded.tolist() == [raw]
    assert annotation.entries['depth_invalid'] == 0
    assert annotation.entries['depth_scale'] == (0.001 if max_depth == 10 else 1 / 256)

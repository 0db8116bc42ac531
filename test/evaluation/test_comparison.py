# SPDX-License-Identifier: Apache-2.0
"""Which label spaces can be compared, and how."""

import numpy as np
import pytest

from mtperception.evaluation.comparison import map_labels
from mtperception.labels import load_label_space

NYU, FEW, STREET, JOINT = (load_label_space(name) for name in ('nyuv2_40', 'nyuv2_13', 'kitti_6', 'nyuv2_kitti_46'))


def test_equal_spaces_are_compared_as_they_are():
    mapping = map_labels(NYU, (0, 40), NYU)
    np.testing.assert_array_equal(mapping.table[:40], np.arange(40))
    assert (mapping.table[40:] == 255).all()
    assert mapping.description == 'nyuv2_40'


def test_fine_classes_are_grouped():
    mapping = map_labels(NYU, (0, 40), FEW)
    assert FEW.names[mapping.table[NYU.names.index('pillow')]] == 'objects'
    assert mapping.table[255] == 255
    assert (
        mapping.description == 'nyuv2_40 grouped into nyuv2_13; no ece: the confidence is that of a class in its group'
    )


@pytest.mark.parametrize('classes', [(0, 46), (40, 46)])
def test_a_part_of_a_joint_space_is_compared_by_name(classes):
    """KITTI's six come last there; a chair in the street is no class of the data set, and so is wrong."""
    mapping = map_labels(JOINT, classes, STREET)
    np.testing.assert_array_equal(mapping.table[40:46], np.arange(6))
    assert (mapping.table[:40] == 255).all()
    assert mapping.description == 'kitti_6, by name of nyuv2_kitti_46'


@pytest.mark.parametrize(
    ('model', 'classes', 'truth', 'message'),
    [
        (NYU, (0, 40), STREET, 'labels of kitti_6 with a model of nyuv2_40: no class sky, .* expected a data set of '),
        (JOINT, (0, 40), STREET, r'a model of nyuv2_kitti_46, classes 0 to 39: no class sky'),
        (FEW, (0, 13), NYU, 'no class cabinet, '),
    ],
)
def test_classes_that_the_model_never_gives_are_an_error(model, classes, truth, message):
    with pytest.raises(ValueError, match=message):
        map_labels(model, classes, truth)

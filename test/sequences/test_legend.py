# SPDX-License-Identifier: Apache-2.0
"""The legend of colours."""

import cv2
import numpy as np
import pytest
from spaces import small_space

from mtperception.labels import load_label_space
from mtperception.sequences.legend import write_legend

COLORS = [(255, 255, 255), (1, 2, 3), (4, 5, 6), (70, 130, 180)]
"""Unknown, then the classes."""


def test_the_fields_of_a_small_legend(tmp_path):
    """Lines of 24 pixels; a black frame from 1,1 to 22,39; the colour from 2,2 to 21,38."""
    write_legend(tmp_path / 'x.png', small_space(tmp_path), 1)
    legend = cv2.imread(str(tmp_path / 'x.png'), cv2.IMREAD_UNCHANGED)[..., ::-1]
    expected = np.full((96, 41, 3), 255, np.uint8)
    for index, color in enumerate(COLORS):
        expected[24 * index + 1 : 24 * index + 23, 1:40] = 0
        expected[24 * index + 2 : 24 * index + 22, 2:39] = color
    np.testing.assert_array_equal(legend[:, :41], expected)


def test_each_line_has_a_text_inside_the_picture(tmp_path):
    write_legend(tmp_path / 'x.png', load_label_space('nyuv2_kitti_46'), 1)
    legend = cv2.imread(str(tmp_path / 'x.png'), cv2.IMREAD_UNCHANGED)
    ink = (legend[:, 44:] < 128).any(axis=(1, 2)).reshape(47, 24)
    assert ink.any(axis=1).all()
    assert not ink[:, [0, 23]].any(), 'the lines do not touch'
    assert (legend[:, -4:] == 255).all(), 'the longest name ends before the edge'


def test_the_id_is_part_of_the_text(tmp_path):
    space = small_space(tmp_path)
    pictures = []
    for offset in (1, 2):
        write_legend(tmp_path / 'x.png', space, offset)
        pictures.append(cv2.imread(str(tmp_path / 'x.png')))
    assert not np.array_equal(pictures[0][24:48], pictures[1][24:48])
    assert np.array_equal(pictures[0][:24], pictures[1][:24]), 'unknown is 0 either way'


def test_ids_that_a_byte_cannot_hold(tmp_path):
    with pytest.raises(ValueError, match='need an offset of 252 at most'):
        write_legend(tmp_path / 'x.png', small_space(tmp_path), 253)

# SPDX-License-Identifier: Apache-2.0
"""Labels of other classes than the map's are noticed by what their publisher says of them."""

import json
from dataclasses import replace

import pytest

from mtperception.card import ModelCard
from mtperception.input_policy import TrainingCamera
from mtperception.labels import load_label_space
from mtperception.mapping.published_classes import other_classes
from mtperception.messages.parameters import default_settings
from mtperception.messages.presentation import Presentation

NYU = load_label_space('nyuv2_40')


def published(name, offset):
    """What a perception node says of a model's classes."""
    space = load_label_space(name)
    count, camera = len(space), TrainingCamera(80.0, 96, 72)
    card = ModelCard('any', 'joint_lw_refinenet', count, ('segmentation',), name, (0, count), (0.3, 10.0), camera)
    return Presentation.build(replace(default_settings(), label_offset=offset), card, space).classes_json()


@pytest.mark.parametrize('offset', [0, 1, 5])
def test_the_same_classes(offset):
    assert other_classes(published('nyuv2_40', offset), NYU, NYU.id_table(offset)) == ''


def test_other_classes():
    found = other_classes(published('kitti_6', 1), NYU, NYU.id_table(1))
    assert found.startswith('id 1 is sky, expected wall of nyuv2_40: use the label_space and label_offset of')


def test_another_offset():
    found = other_classes(published('nyuv2_40', 2), NYU, NYU.id_table(1))
    assert found.startswith('id 1 is no class, expected wall of nyuv2_40')


def test_more_classes():
    entries = [*json.loads(published('nyuv2_40', 1)), {'id': 41, 'name': 'car'}]
    assert other_classes(json.dumps(entries), NYU, NYU.id_table(1)).startswith('id 41 is car, expected no class')


@pytest.mark.parametrize(
    'text', ['', '{', '3', '[3]', '[{"id": "x", "name": "a"}]', '[{"id": 1e999, "name": "a"}]', '[' * 100_000]
)
def test_what_says_nothing(text):
    assert other_classes(text, NYU, NYU.id_table(1)) == 'not a JSON list of classes with id and name'

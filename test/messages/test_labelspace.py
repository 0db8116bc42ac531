# SPDX-License-Identifier: Apache-2.0
"""Hydra's label space, by ids as they are published."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mtperception.card import open_model
from mtperception.labels import load_label_space
from mtperception.messages.labelspace import labelspace_fields
from mtperception.messages.parameters import default_settings
from mtperception.messages.presentation import Presentation


def fields(space='nyuv2_40', model='nyuv2_indoor', **changes):
    settings = replace(default_settings(), **changes)
    made = labelspace_fields(Presentation.build(settings, open_model(model).card, load_label_space(space)))
    return SimpleNamespace(**{**made, 'metadata': json.loads(made['metadata'])})


def test_names_stand_at_their_published_ids():
    made = fields()
    assert (made.names[0], made.names[1], made.names[5], made.names[40], len(made.names)) == (
        'unknown',
        'wall',
        'chair',
        'otherprop',
        41,
    )
    assert made.invalid == [0, 255]


def test_roles_of_the_classes():
    metadata = fields().metadata
    assert metadata['dynamic_labels'] == [31]
    assert metadata['surface_places_labels'] == [2, 20]
    assert {1, 2, 8, 9, 20, 22, 31}.isdisjoint(metadata['object_labels'])
    assert {3, 4, 5, 40} <= set(metadata['object_labels'])


@pytest.mark.parametrize('offset', [0, 100])
def test_they_follow_the_offset(offset):
    made = fields(label_offset=offset)
    assert made.names[offset] == 'wall'
    assert made.metadata['surface_places_labels'] == [offset + 1, offset + 19]
    assert made.invalid == ([255] if offset == 0 else [0, 255])
    assert all(isinstance(name, str) for name in made.names)


def test_a_grouping_is_what_is_published():
    made = fields(label_space='nyuv2_13')
    assert len(made.names) == 14
    assert made.metadata['dynamic_labels'] == []
    assert made.names[made.metadata['surface_places_labels'][0]] == 'floor'


def test_outdoors():
    metadata = fields('kitti_6', 'street').metadata
    names = load_label_space('kitti_6').names
    assert [names[id_ - 1] for id_ in metadata['dynamic_labels']] == ['car']
    assert [names[id_ - 1] for id_ in metadata['surface_places_labels']] == ['road', 'sidewalk']


def test_the_message_of_semantic_inference_takes_the_fields():
    """Serialised by a class that is generated from the fields of its .msg file, which no wheel brings."""
    typesys = pytest.importorskip('rosbags.typesys')
    definition = 'string[] names\nint32[] invalid\nstring metadata\n'
    name = 'semantic_inference_msgs/msg/Labelspace'
    store = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
    store.register(typesys.get_types_from_msg(definition, name))
    filled = labelspace_fields(
        Presentation.build(default_settings(), open_model('nyuv2_indoor').card, load_label_space('nyuv2_40'))
    )
    message = store.types[name](**{**filled, 'invalid': np.array(filled['invalid'], np.int32)})
    read = store.deserialize_cdr(store.serialize_cdr(message, name), name)
    assert (read.names, read.invalid.tolist(), read.metadata) == tuple(filled.values())

# SPDX-License-Identifier: Apache-2.0
"""Ids, groupings, masks and valid depth."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mtperception.card import open_model
from mtperception.labels import load_label_space
from mtperception.messages.parameters import default_settings
from mtperception.messages.presentation import Presentation
from mtperception.resized_prediction import ResizedPrediction
from mtperception.types import Prediction

DEFAULTS = default_settings()


def build(space='nyuv2_40', **changes):
    return Presentation.build(replace(DEFAULTS, **changes), open_model('nyuv2_indoor').card, load_label_space(space))


LABELS = np.array([[0, 3, 39, 255]], np.uint8)
PREDICTION = Prediction(labels=LABELS, confidence=np.array([[255, 127, 128, 0]], np.uint8))


@pytest.mark.parametrize(('offset', 'ids'), [(1, [1, 4, 40, 0]), (0, [0, 3, 39, 255]), (100, [100, 103, 139, 0])])
def test_ids(offset, ids):
    presentation = build(label_offset=offset)
    assert presentation.id_table[presentation.labels(PREDICTION)].tolist() == [ids]


def test_low_confidence_is_unknown():
    assert build(confidence_threshold=0.5).labels(PREDICTION).tolist() == [[0, 255, 39, 255]]
    assert build(confidence_threshold=0.0).labels(PREDICTION).tolist() == LABELS.tolist()


@pytest.mark.parametrize(('threshold', 'resized'), [(0.0, False), (0.5, True)])
def test_confidence_is_resized_only_where_a_threshold_asks_for_it(threshold, resized):
    maps = {'labels': LABELS, 'confidence': PREDICTION.confidence}
    prediction = ResizedPrediction.to_size(maps, (8, 2), {})
    assert build(confidence_threshold=threshold).labels(prediction).shape == (2, 8)
    assert ('confidence' in vars(prediction)) == resized


def test_grouping_maps_the_winning_class():
    presentation = build(label_space='nyuv2_13')
    names = [load_label_space('nyuv2_13').names[i] for i in presentation.labels(PREDICTION)[0, :3]]
    assert names == ['wall', 'bed', 'objects']
    assert presentation.labels(PREDICTION)[0, 3] == 255
    assert np.array_equal(build(label_space='nyuv2_40').labels(PREDICTION), LABELS)


def test_the_mask_is_by_the_models_own_classes():
    assert np.flatnonzero(build().mask_table).tolist() == [load_label_space('nyuv2_40').names.index('person')]
    assert np.flatnonzero(build('kitti_6').mask_table).tolist() == [5]
    assert np.flatnonzero(build(mask_classes=('bed', 'wall'), label_space='nyuv2_13').mask_table).tolist() == [0, 3]
    assert not build(mask_classes=('',)).mask_table.any()


def test_depth_outside_the_limits_is_invalid_and_never_clamped():
    prediction = Prediction(depth=np.array([[0.29, 0.3, 5.0, 10.0, 10.1, np.nan]], np.float32))
    limited = build(min_depth=1.0, max_depth=5.0).valid_depth(prediction)
    assert limited[0].tolist() == [0, 0, 5.0, 0, 0, 0]


def test_without_limits_only_what_the_predictor_calls_invalid_is_left_out():
    """The range of the model says nothing about metres that were scaled to another camera."""
    depth = np.array([[0.2, 5.0, 19.0, 20.0]], np.float32)
    prediction = Prediction(depth=depth, valid_mask=np.array([[True, True, True, False]]))
    assert build().valid_depth(prediction).tolist() == np.where(prediction.valid_mask, depth, 0).tolist()
    assert build(max_depth=10.0).valid_depth(prediction)[0].tolist() == pytest.approx([0.2, 5.0, 0, 0])
    assert prediction.depth[0, 3] == 20  # what is scored is left as it was


def test_depth_between_two_surfaces_is_invalid_if_so_asked():
    """From 2 m to 3 m over a pixel that lies on neither; all that touches the step goes."""
    depth = np.array([[2.0, 2.0, 2.0, 2.5, 3.0, 3.0, 3.0]], np.float32)
    prediction = Prediction(depth=depth)
    assert build(depth_edge_threshold=0.05).valid_depth(prediction)[0].tolist() == [2, 2, 0, 0, 0, 3, 3]
    assert build(depth_edge_threshold=0.3).valid_depth(prediction)[0].tolist() == [2, 2, 2, 0, 3, 3, 3]
    assert build().valid_depth(prediction)[0].tolist() == depth[0].tolist()


def test_unsure_depth_is_invalid_if_so_asked_and_the_model_says_how_sure_it_is():
    prediction = Prediction(
        depth=np.array([[2.0, 3.0, 4.0]], np.float32), depth_confidence=np.array([[127, 128, 255]], np.uint8)
    )
    assert build(depth_confidence_threshold=0.5).valid_depth(prediction)[0].tolist() == [0, 3, 4]
    assert build().valid_depth(prediction)[0].tolist() == [2, 3, 4]
    silent = Prediction(depth=prediction.depth)
    assert build(depth_confidence_threshold=0.5).valid_depth(silent)[0].tolist() == [2, 3, 4]


@pytest.mark.parametrize('limit', [0.7, 1.1, 2.3, 9.9])
def test_the_limits_themselves_are_valid(limit):
    """Float32 rounds them to either side."""
    at_limit = Prediction(depth=np.full((2, 2), limit, np.float32))
    assert build(min_depth=limit).valid_depth(at_limit).all()
    assert build(max_depth=limit).valid_depth(at_limit).all()


def test_names_of_all_ids():
    names = build().id_names()
    assert (names[0], names[1], names[40], names[255], len(names)) == ('unknown', 'wall', 'otherprop', 'UNLABELED', 42)
    names = build(label_offset=0).id_names()
    assert (names[0], names[39], names[255], len(names)) == ('wall', 'otherprop', 'UNLABELED', 41)


def test_classes_as_json():
    classes = json.loads(build().classes_json())
    assert classes[0] == {'id': 1, 'name': 'wall', 'color': [128, 0, 0], 'group': 'wall'}
    assert {entry['group'] for entry in classes} == set(load_label_space('nyuv2_13').names)
    assert json.loads(build(label_space='nyuv2_13').classes_json())[0]['group'] is None
    street = json.loads(build('cityscapes_19').classes_json())
    assert {entry['name']: entry['group'] for entry in street if entry['name'] in ('terrain', 'fence')} == {
        'terrain': 'vegetation',
        'fence': None,  # without a counterpart
    }


@pytest.mark.parametrize(
    ('changes', 'colored'),
    [
        ({}, (0.3, 10.0)),
        ({'min_depth': 2.0}, (2.0, 10.0)),
        ({'max_depth': 20.0}, (0.3, 20.0)),
        ({'depth_scale': 2.0}, (0.6, 20.0)),
        ({'min_depth': 11.0}, (11.0, 20.7)),
        ({'min_depth': 12.0, 'max_depth': 20.0}, (12.0, 20.0)),
        ({'max_depth': 0.25}, (0.0, 0.25)),
        ({'min_depth': 0.1, 'max_depth': 0.25}, (0.1, 0.25)),
    ],
)
def test_limits_of_depth_as_published(changes, colored):
    """A longer lens than the model's sees farther than its range, and a factor on depth moves it."""
    presentation = build(**changes)
    assert presentation.depth_range == pytest.approx(colored)
    assert presentation.depth_limits == (changes.get('min_depth', 0), changes.get('max_depth', np.inf))


@pytest.mark.parametrize(
    ('changes', 'problem'),
    [
        ({'label_offset': 216}, 'need an offset of 215 at most'),
        ({'min_depth': 3.0, 'max_depth': 2.0}, 'expected min < max'),
        ({'label_space': 'kitti_6'}, 'no grouping'),
        ({'mask_classes': ('person', 'car', 'dog')}, 'no class car, dog'),
        (
            {'invalid_depth_classes': ('wall', 'mirrors')},
            'invalid_depth_classes: no class mirrors',
        ),
    ],
)
def test_what_the_model_cannot_follow(changes, problem):
    with pytest.raises(ValueError, match=problem):
        build(**changes)

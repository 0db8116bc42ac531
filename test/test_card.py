# SPDX-License-Identifier: Apache-2.0
"""Model directories: what is checked before anything runs."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mtperception.card import CARD, GRAPH, SELF_TEST, WEIGHTS, ModelCard, ModelError, TrainingCamera, open_model
from mtperception.resources import ResourceNotFoundError

VALID = ModelCard(
    name='tiny',
    network='joint_lw_refinenet',
    num_classes=6,
    tasks=('segmentation', 'depth'),
    label_space='kitti_6',
    classes=(0, 6),
    depth_range=(1.0, 80.0),
    camera=TrainingCamera(721.5, 1242, 375),
    training={'data': 'none'},
    metrics={'miou': 0.5},
    sha256={GRAPH: '00'},
)


def test_round_trip(tmp_path):
    VALID.write(tmp_path / CARD)
    assert ModelCard.read(tmp_path / CARD) == VALID


@pytest.mark.parametrize(
    ('change', 'problem'),
    [
        ({'tasks': ()}, 'tasks'),
        ({'tasks': ('segmentation', 'flow')}, 'expected some of'),
        ({'depth_range': (0.0, 10.0)}, '0 < near < far'),
        ({'depth_range': (5.0, 1.0)}, '0 < near < far'),
        ({'camera': TrainingCamera(0.0, 640, 480)}, 'camera'),
        ({'classes': (0, 7)}, 'slice of 0..6'),
        ({'classes': (3, 3)}, 'slice of 0..6'),
    ],
)
def test_what_cannot_be_is_refused(change, problem):
    with pytest.raises(ModelError, match=problem):
        replace(VALID, **change)


@pytest.mark.parametrize(
    'text', ['', '[]', 'name: [', 'name: x', yaml.safe_dump({'name': 'x', 'camera': {'fx': 1}}), '\x00', 'camera: 3']
)
def test_files_that_are_no_card(tmp_path, text):
    (tmp_path / CARD).write_text(text)
    with pytest.raises(ModelError, match='not a readable model card'):
        ModelCard.read(tmp_path / CARD)


def test_a_key_that_is_misspelt_or_missing_is_named(tmp_path):
    VALID.write(tmp_path / CARD)
    text = (tmp_path / CARD).read_text()
    (tmp_path / CARD).write_text(text.replace('depth_range:', 'depth_rnge:'))
    with pytest.raises(ModelError, match='expected depth_range, found depth_rnge'):
        ModelCard.read(tmp_path / CARD)
    (tmp_path / CARD).write_text(f'{text}notes: none\n')
    with pytest.raises(ModelError, match='expected no other key, found notes'):
        ModelCard.read(tmp_path / CARD)


def test_a_folder_without_a_card_is_no_model(tmp_path):
    with pytest.raises(ModelError, match=r'card\.yaml: no such file: expected a model directory'):
        open_model(tmp_path)


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(open_model('nyuv2_indoor').path, tmp_path / 'copy')


@pytest.mark.parametrize('name', [WEIGHTS, GRAPH, SELF_TEST])
def test_missing_files_are_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(ModelError, match=f'{name} is missing'):
        open_model(copy)


def test_class_count_must_fit_the_label_space(copy):
    card = ModelCard.read(copy / CARD)
    replace(card, label_space='kitti_6').write(copy / CARD)
    with pytest.raises(ModelError, match='40 classes, but label space kitti_6 has 6'):
        open_model(copy)


def test_names_that_do_not_exist_list_those_that_do():
    with pytest.raises(ResourceNotFoundError, match='nyuv2_indoor'):
        open_model('nyuv2_outdoor')


def test_a_file_is_no_model_directory(copy):
    with pytest.raises(ModelError, match='expected a model directory'):
        open_model(copy / GRAPH)


def test_the_default_model_says_where_it_comes_from():
    card = open_model('nyuv2_indoor').card
    assert card.training['data']
    assert card.training['licence']
    assert 0 < card.metrics['miou'] < 1
    assert card.metrics['rmse'] > 0
    assert card.metrics['protocol']


@pytest.mark.parametrize(('model', 'names'), [('nyuv2_indoor', ('miou', 'rmse')), ('street', ('miou',))])
def test_the_readme_has_the_official_figures_of_shipped_models(model, names):
    official = open_model(model).card.metrics['official_test']
    assert 'test images' in official['protocol']
    readme = (Path(__file__).parents[1] / 'README.md').read_text(encoding='utf-8')
    written = {'miou': f'**{official["miou"] * 100:.1f} %**', 'rmse': f'**{official.get("rmse", 0):.3f} m**'}
    assert all(written[name] in readme for name in names)

# SPDX-License-Identifier: Apache-2.0
"""A network is added by one file (`shallow_network.py`) and one line in NETWORKS: nothing else knows of it."""

import pytest
import torch
from rooms import rooms
from safetensors.torch import save_file
from shallow_network import ShallowNet
from tiny_runs import CPU, data_of, history, tiny_config

from mtperception.backends.selection import open_backend
from mtperception.card import open_model
from mtperception.networks import NETWORKS, create_network, load_network
from mtperception.pipeline import normalize
from mtperception.training.checkpoint import Checkpoint
from mtperception.training.checkpoint_export import export_checkpoint
from mtperception.training.config import ChoiceConfig, ConfigError, ConsistencyConfig, OptimizerConfig
from mtperception.training.config_file import config_to_dict
from mtperception.training.starting_point import build_network
from mtperception.training.trainer import LAST, Trainer

LOSSES = {'segmentation': 'cross_entropy', 'depth': 'berhu', 'early_depth': 'l1'}


@pytest.fixture(autouse=True)
def shallow(monkeypatch):
    monkeypatch.setitem(NETWORKS, 'shallow', ShallowNet)


def config_of(root, **changes):
    settings = {
        'tasks': ('depth', 'segmentation'),
        'network': ChoiceConfig('shallow', {'width': 24}),
        'losses': {output: ChoiceConfig(name) for output, name in LOSSES.items()},
        'optimizer': OptimizerConfig(learning_rate={'trunk': 1e-3, 'early_depth': 1e-2, 'default': 1e-3}),
        'data': [data_of(root, split='first')],
        'validation': [data_of(root, split='pair')],
        'epochs': 1,
    }
    return tiny_config(root, **(settings | changes))


@pytest.fixture
def run(room_data, tmp_path):
    """Two steps, validated."""
    trainer = Trainer(config_of(room_data), tmp_path / 'run', CPU)
    before = {name: x.clone() for name, x in trainer.network.state_dict().items()}
    trainer.fit()
    return trainer, before


@pytest.mark.parametrize(
    ('output', 'loss', 'message'),
    [
        ('segmentation', ChoiceConfig('berhu'), 'losses.segmentation: found berhu, a loss for depth, expected one for'),
        ('depth', ChoiceConfig('laplace'), 'one for depth: berhu, l1, '),
        (
            'early_depth',
            ChoiceConfig('lovasz_softmax'),
            'losses.early_depth: found lovasz_softmax, a loss for segmentat',
        ),
        ('depth', ChoiceConfig('sum', {'terms': [{'name': 'dot_product'}]}), 'found sum, a loss for normals'),
        ('depth', ChoiceConfig('sum', {'terms': [{'name': 'l1'}, {'name': 'cross_entropy'}]}), 'of one task'),
    ],
)
def test_a_loss_is_of_the_task_of_its_output(room_data, tmp_path, output, loss, message):
    losses = {name: ChoiceConfig(each) for name, each in LOSSES.items()} | {output: loss}
    with pytest.raises(ConfigError, match=message):
        Trainer(config_of(room_data, losses=losses), tmp_path / 'run', CPU)


def test_it_is_trained_with_its_auxiliary_output(run):
    trainer, before = run
    assert trainer.steps == 2
    still = [name for name, x in trainer.network.state_dict().items() if torch.equal(x, before[name])]
    assert still == []
    (line,) = history(trainer.out)
    assert set(line['losses']) == {'depth', 'segmentation', 'early_depth'}
    assert {'miou', 'rmse'} <= set(line['metrics'])


def test_it_is_exported_and_runs_in_two_backends(run, tmp_path):
    trainer, _ = run
    export_checkpoint(trainer.out / LAST, tmp_path / 'model')
    network = load_network(tmp_path / 'model')
    assert network.first[0].out_channels == 24  # an option of the configuration, by way of the card
    image = rooms(1)[0].image[None]
    model = open_model(tmp_path / 'model')
    maps = [open_backend(model, backend, 'cpu', 'fp32').run(image) for backend in ('onnxruntime', 'openvino')]
    assert [set(each) for each in maps] == [{'labels', 'confidence', 'depth'}] * 2
    assert abs(maps[0]['depth'] - maps[1]['depth']).max() < 1e-3
    assert (maps[0]['labels'] == maps[1]['labels']).mean() > 0.99
    assert list(network(normalize(torch.from_numpy(image)))) == ['depth', 'segmentation']


@pytest.mark.parametrize('precision', ['fp32', 'fp16'])
def test_an_auxiliary_output_without_a_loss_learns_nothing(precision, room_data, tmp_path):
    losses = {task: ChoiceConfig(LOSSES[task]) for task in ('depth', 'segmentation')}
    trainer = Trainer(config_of(room_data, losses=losses, precision=precision), tmp_path, CPU)
    before = trainer.network.heads['early_depth'].weight.clone()
    trainer.fit()
    assert torch.equal(trainer.network.heads['early_depth'].weight, before)
    assert set(history(tmp_path)[0]['losses']) == {'depth', 'segmentation'}


def test_what_it_does_not_have_is_an_error(room_data, tmp_path):
    for changes, message in (
        ({'optimizer': OptimizerConfig(learning_rate={'encoder': 1.0})}, 'no encoder: expected some of trunk, '),
        ({'losses': config_of(room_data).losses | {'late_depth': ChoiceConfig('l1')}}, 'no output late_depth'),
        ({'network': ChoiceConfig('shallow', {'depth': 3})}, 'network shallow has no option depth: expected width'),
        ({'tasks': ('depth',)}, 'depth and segmentation only together'),
        ({'encoder': 'imagenet'}, "ShallowNet has no published weights for encoder: expected none, or '' for random"),
        ({'start': {'encoder': ['x.safetensors']}}, 'start.encoder: not a part of ShallowNet: expected some of trunk'),
        ({'start': {'trunk': ['imagenet']}}, 'start.trunk: ShallowNet has no published weights'),
    ):
        with pytest.raises(ValueError, match=message):
            Trainer(config_of(room_data, **changes), tmp_path / 'run', CPU)
    assert not (tmp_path / 'run').exists()


def test_a_network_without_an_encoder_needs_no_word_about_it(room_data):
    assert config_of(room_data, encoder='auto').encoder == ''
    assert build_network(config_of(room_data, encoder='auto')).group_of('first.0.weight') == 'trunk'
    assert config_of(room_data, encoder='auto', network=ChoiceConfig('mtl')).encoder == 'imagenet'


def test_parts_start_from_different_files(room_data, tmp_path):
    """Two checkpoints, of the mean of which comes the trunk; depth is of one of them; the rest is fresh."""
    weights = {}
    for name in ('a', 'b'):
        torch.manual_seed(ord(name))
        weights[name] = create_network('shallow', 40, ('depth', 'segmentation'), width=24).state_dict()
        average = {f'average/{key}': x for key, x in weights[name].items()}
        Checkpoint(average, {'config': config_to_dict(config_of(room_data))}).write(tmp_path / name)
    start = {'trunk': [str(tmp_path / 'a'), str(tmp_path / 'b')], 'depth': [str(tmp_path / 'b')]}
    network = build_network(config_of(room_data, start=start, depth_range=[0.5, 8.0])).state_dict()
    mean = (weights['a']['first.0.weight'] + weights['b']['first.0.weight']) / 2
    torch.testing.assert_close(network['first.0.weight'], mean)
    assert torch.equal(network['heads.depth.bias'], weights['b']['heads.depth.bias'])
    assert network['heads.early_depth.bias'].item() == 2  # fresh: the middle of the range
    labels = network['heads.segmentation.weight']
    assert not any(torch.equal(labels, weights[name]['heads.segmentation.weight']) for name in weights)


def test_a_part_of_another_shape_is_refused(room_data, tmp_path):
    other = create_network('shallow', 40, ('depth', 'segmentation'), width=8).state_dict()
    Checkpoint({f'average/{key}': x for key, x in other.items()}, {}).write(tmp_path / 'other')
    save_file({'first.0.weight': torch.zeros(1)}, tmp_path / 'foreign.safetensors')
    with pytest.raises(ConfigError, match=r'start\.trunk .*other: not the weights of this network: first'):
        build_network(config_of(room_data, start={'trunk': [str(tmp_path / 'other')]}))
    with pytest.raises(ConfigError, match=r'start\.trunk: ShallowNet has no published weights'):
        build_network(config_of(room_data, start={'trunk': [str(tmp_path / 'foreign.safetensors')]}))


def test_an_auxiliary_output_waits_for_its_annotations_not_for_teachers(room_data, tmp_path):
    """Extra targets are for the task's own output: batches that have nothing else do not count for the other."""
    trainer = Trainer(config_of(room_data, consistency=ConsistencyConfig({'depth': 1.0})), tmp_path, CPU)
    none, all_ = {'depth': 0, 'segmentation': 2}, {'depth': 2, 'segmentation': 2}
    assert trainer.objective.supervised(none, 2) == {'depth': 2, 'segmentation': 2, 'early_depth': 0}
    assert trainer.objective.supervised(all_, 2) == {'depth': 2, 'segmentation': 2, 'early_depth': 2}
    trainer.record.close()

# SPDX-License-Identifier: Apache-2.0
"""The configurations of the papers' experiments, and of the comparison of all systems, can be run: they load, and their
networks and learning rates exist."""

from pathlib import Path

import pytest
import torch

from mtperception.networks import NETWORKS, create_network
from mtperception.resources import find
from mtperception.training.config_file import load_config
from mtperception.training.losses import LOSSES
from mtperception.training.optimization import learning_rates
from mtperception.training.registry import create
from mtperception.training.weighting import WEIGHTINGS

FOLDER = Path(find('train', 'nyuv2')).parent
PAPERS = sorted(path.stem for path in (FOLDER / 'papers').glob('*.yaml'))
COMPARED = sorted(path.stem for path in (FOLDER / 'systems').glob('*.yaml') if path.stem != 'base')


def test_every_system_has_an_experiment():
    networks = {load_config(f'papers/{name}').network.name for name in PAPERS}
    assert networks >= {'multitasknet', 'hybridnet', 'mtl', 'mtl_spp', 'mtl_ssw', 'mt_unet'}


@pytest.mark.parametrize('name', [*(f'papers/{name}' for name in PAPERS), *(f'systems/{name}' for name in COMPARED)])
def test_what_it_names_exists(name):
    config = load_config(name)
    with torch.device('meta'):
        network = create_network(config.network.name, len(config.space), config.tasks, **config.network.options)
    rates = learning_rates(network.groups(), config.optimizer)
    assert all(rates[group] > 0 for group in network.groups())
    assert set(config.start) <= set(network.groups())
    for output in network.outputs:
        create('loss', LOSSES, config.losses[output].name, config.losses[output].options)
    create('weighting', WEIGHTINGS, config.weighting.name, config.weighting.options, network.outputs)


# Options of the network, size of a view, epochs, images per step, optimizer, loss of depth, weighting.
# MultitaskNet: section 4.1, table 1, and the rate's schedule of its published code. MT-UNet: 'Training protocols'.
ADAM_MULTITASKNET = ('adam', {'weight_decay': 5e-4}, {'default': 1e-5}, 'step', {'at': [0.5], 'factor': 0.9})
SGD_MULTITASKNET = (
    *('sgd', {'weight_decay': 5e-4, 'momentum': 0.9}, {'default': 1e-4}, 'step', {'at': [0.757], 'factor': 0.9}),
)
ADAM_MT_UNET = ('adam', {}, {'default': 1e-4, 'weighting': 1e-3}, 'polynomial', {'power': 0.0})
HALVES = ('fixed', {'weights': {'segmentation': 0.5, 'depth': 0.5}})
LEARNT = ('variance', {})
STATED = {
    'multitasknet': ({}, [224, 224], 50, 4, ADAM_MULTITASKNET, 'scale_invariant_gradient', HALVES),
    'multitasknet_lambda_03': (
        *({}, [224, 224], 50, 4, ADAM_MULTITASKNET, 'scale_invariant_gradient'),
        ('fixed', {'weights': {'segmentation': 0.3, 'depth': 0.7}}),
    ),
    'multitasknet_sgd': ({}, [224, 224], 50, 4, SGD_MULTITASKNET, 'scale_invariant_gradient', HALVES),
    'multitasknet_no_skip': ({'skip': False}, [224, 224], 50, 4, SGD_MULTITASKNET, 'scale_invariant_gradient', HALVES),
    'mt_unet': ({}, [128, 256], 200, 8, ADAM_MT_UNET, 'l1', LEARNT),
    'mt_unet_19': ({}, [128, 256], 200, 8, ADAM_MT_UNET, 'l1', LEARNT),
    'mt_unet_nyuv2': ({}, [128, 256], 200, 2, ADAM_MT_UNET, 'l1', LEARNT),
    'mt_unet_no_cross_talk': ({'cross_talk': False}, [128, 256], 200, 8, ADAM_MT_UNET, 'l1', LEARNT),
    'mt_unet_fixed_weights': (
        *({}, [128, 256], 200, 8, ADAM_MT_UNET, 'l1'),
        ('fixed', {'weights': {'segmentation': 0.3, 'depth': 0.7}}),
    ),
    'mt_unet_equal_weights': (
        *({}, [128, 256], 200, 8, ADAM_MT_UNET, 'l1'),
        ('fixed', {'weights': {'segmentation': 1.0, 'depth': 1.0}}),
    ),
}


@pytest.mark.parametrize('name', STATED)
def test_what_a_paper_states(name):
    config = load_config(f'papers/{name}')
    optimizer = config.optimizer
    found = (optimizer.name, optimizer.options, optimizer.learning_rate)
    found = (*found, optimizer.schedule.name, optimizer.schedule.options)
    network, view = config.network.options, config.view.crop
    loss, weighting = config.losses['depth'].name, (config.weighting.name, config.weighting.options)
    assert (network, view, config.epochs, config.batch_size, found, loss, weighting) == STATED[name]


def test_papers_are_reproduced_in_single_precision():
    assert {load_config(f'papers/{name}').precision for name in PAPERS} == {'fp32'}


MTL_PARAMETERS = {
    'mtl': 53.18,
    'mtl_se': 55.11,
    'mtl_pp': 66.43,
    'mtl_se_aspp': 68.5,
    'mtl_spp': 83.91,
    'mtl_spp_sunrgbd': 83.91,
    'mtl_ssw': 89.9,
    'mtl_ssw_sunrgbd': 89.9,
    'mtl_sw_pp': 103.2,
}
"""Tables 3 and 4: parameters in units of 2^20."""


@pytest.mark.parametrize('name', MTL_PARAMETERS)
def test_a_row_of_mtl_has_as_many_parameters_as_the_paper_says(name):
    config = load_config(f'papers/{name}')
    with torch.device('meta'):
        network = NETWORKS[config.network.name](len(config.space), config.tasks, **config.network.options)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count / 2**20 == pytest.approx(MTL_PARAMETERS[name], rel=0.02)


def test_hybridnets_losses_and_stages():
    """Section 4: 100,000 steps of depth, of 2975 images; then all, alpha 1000, from the depth networks of the first."""
    first, last = (load_config(f'papers/{name}') for name in ('hybridnet_depth', 'hybridnet'))
    assert first.epochs * (2975 // first.batch_size) == pytest.approx(100_000, rel=0.01)
    assert (first.tasks, last.tasks) == (['depth'], ['segmentation', 'depth'])
    assert [term['name'] for term in last.losses['depth'].options['terms']] == ['l2', 'l2_normalized']
    assert last.weighting.options == {'weights': {'segmentation': 1000.0, 'depth': 1.0}}
    assert last.start == {'depth': ['runs/papers/hybridnet_depth/last.safetensors']}


def test_hybridnet_cuts_an_image_of_its_data_into_18_parts():
    """As in the paper, and as views are cut for training: of the image as it is."""
    config = load_config('papers/hybridnet')
    layout = config.input_policy.layout(2048, 1024)
    assert (layout.count, layout.columns[-1] + layout.tile[0], layout.rows[-1] + layout.tile[1]) == (18, 2048, 1024)
    assert (config.view.crop, config.view.scale) == ([342, 342], [1.0, 1.0])


def test_the_compared_systems_see_the_same_images():
    """What differs is the system: input, losses, weighting, learning rates."""
    configs = {name: load_config(f'systems/{name}') for name in COMPARED}
    assert {'joint_lw_refinenet', 'multitasknet', 'hybridnet', 'mtl_spp', 'mtl_ssw', 'mt_unet'} <= set(configs)
    first = configs['joint_lw_refinenet']
    for config in configs.values():
        for key in ('data', 'validation', 'epochs', 'batch_size', 'label_space', 'tasks', 'depth_range', 'seed'):
            assert getattr(config, key) == getattr(first, key)


def test_a_file_of_ones_own_extends_that_of_a_paper(tmp_path):
    """By its name with its folder, from wherever it is."""
    (tmp_path / 'mine.yaml').write_text('extends: papers/mt_unet\nbatch_size: 3\n', encoding='utf-8')
    config = load_config(tmp_path / 'mine.yaml')
    assert (config.network.name, config.batch_size, config.weighting.name) == ('mt_unet', 3, 'variance')

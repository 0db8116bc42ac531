# SPDX-License-Identifier: Apache-2.0
"""The configurations of the papers' experiments, and of the comparison of all systems, can be run: they load, and their
networks and learning rates exist."""

from pathlib import Path

import pytest
import torch

from mtperception.networks import create_network
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

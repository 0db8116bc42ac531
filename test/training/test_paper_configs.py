# SPDX-License-Identifier: Apache-2.0
"""The configurations of the papers' experiments can be run: they load, and their networks and learning rates exist."""

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

PAPERS = sorted(path.stem for path in (Path(find('train', 'nyuv2')).parent / 'papers').glob('*.yaml'))


def test_every_system_has_an_experiment():
    networks = {load_config(f'papers/{name}').network.name for name in PAPERS}
    assert networks >= {'multitasknet', 'hybridnet', 'mtl', 'mtl_spp', 'mtl_ssw', 'mt_unet'}


@pytest.mark.parametrize('name', PAPERS)
def test_what_it_names_exists(name):
    config = load_config(f'papers/{name}')
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

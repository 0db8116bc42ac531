# SPDX-License-Identifier: Apache-2.0
"""Schedules, learning rates by part, and what freezing leaves as it was."""

import itertools
import math

import pytest
import torch
from tiny_runs import tiny_config
from torch import nn

from mtperception.networks import create_network
from mtperception.training.config import ChoiceConfig, ConfigError, OptimizerConfig
from mtperception.training.optimization import (
    SCHEDULES,
    create_optimizers,
    freeze,
    learning_rate_factor,
    learning_rates,
)
from mtperception.training.weighting import UncertaintyWeighting


def factor(schedule, done, total, warm_up=0, **options):
    config = OptimizerConfig(schedule=ChoiceConfig(schedule, options), warm_up_steps=warm_up)
    return learning_rate_factor(config, done, total)


@pytest.mark.parametrize(
    ('found', 'expected'),
    [
        (factor('polynomial', 0, 100), 1),
        (factor('polynomial', 75, 100), 0.25**0.9),
        (factor('polynomial', 75, 100, power=2), 0.0625),
        (factor('cosine', 0, 100), 1),
        (factor('cosine', 50, 100), 0.01 + 0.99 / 2),
        (factor('cosine', 25, 100, floor=0.0), (1 + math.sqrt(0.5)) / 2),
        (factor('cosine', 100, 100), 0.01),
        (factor('step', 49, 100), 1),
        (factor('step', 50, 100), 0.1),
        (factor('step', 75, 100), 0.01),
        (factor('step', 20, 100, at=[0.1, 0.2], factor=0.5), 0.25),
        # Three steps of warm up: a quarter, two, three, then all of it.
        (factor('step', 0, 100, warm_up=3), 0.25),
        (factor('step', 2, 100, warm_up=3), 0.75),
        (factor('step', 3, 100, warm_up=3), 1),
    ],
)
def test_schedules_by_hand(found, expected):
    assert found == pytest.approx(expected)


@pytest.mark.parametrize('name', SCHEDULES)
def test_every_schedule_begins_at_1_and_never_rises(name):
    factors = [factor(name, done, 50) for done in range(50)]
    assert factors[0] == 1
    assert all(0 < later <= earlier for earlier, later in itertools.pairwise(factors))


def test_an_option_that_a_schedule_does_not_take():
    with pytest.raises(ValueError, match=r"schedule cosine with options \{'power': 2\}"):
        factor('cosine', 0, 1, power=2)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return create_network('joint_lw_refinenet', 40, ('segmentation', 'depth'))


def rates_of(network, weighting, config):
    """Learning rate by the name of the parameter."""
    names = {id(parameter): name for name, parameter in (*network.named_parameters(), *weighting.named_parameters())}
    optimizers = create_optimizers(network, weighting, config)
    return {
        names[id(parameter)]: (part, group['lr'])
        for part, optimizer in optimizers.items()
        for group in optimizer.param_groups
        for parameter in group['params']
    }


def test_each_part_has_its_rate(network, tmp_path):
    optimizer = OptimizerConfig(learning_rate={'encoder': 1e-4, 'decoder': 1e-3, 'depth': 1e-2})
    weighting = UncertaintyWeighting({'segmentation': 'segmentation', 'depth': 'depth'})
    rates = rates_of(network, weighting, tiny_config(tmp_path, optimizer=optimizer))
    assert rates['encoder.stem.0.weight'] == ('shared', 1e-4)
    assert rates['adapt.0.weight'] == ('shared', 1e-3)
    assert rates['heads.depth.predict.weight'] == ('depth', 1e-2)
    assert rates['heads.segmentation.predict.weight'] == ('segmentation', 1e-3)  # not named: as the decoder
    assert rates['log_variance.depth'] == ('shared', 1e-3)
    everything = {name for name, _ in (*network.named_parameters(), *weighting.named_parameters())}
    assert set(rates) == everything


def test_every_parameter_is_in_one_part(network):
    parameters = [id(x) for group in network.parameter_groups().values() for x in group]
    assert sorted(parameters) == sorted(id(x) for x in network.parameters())


@pytest.mark.parametrize(
    ('rates', 'expected'),
    [
        ({}, {'encoder': 4e-4, 'decoder': 1e-3, 'depth': 1e-3, 'weighting': 1e-3}),
        ({'decoder': 1e-2}, {'encoder': 4e-4, 'decoder': 1e-2, 'depth': 1e-2, 'weighting': 1e-2}),
        ({'default': 0.1}, {'encoder': 0.1, 'decoder': 0.1, 'depth': 0.1, 'weighting': 0.1}),
        ({'default': 0.1, 'weighting': 1.0}, {'encoder': 0.1, 'decoder': 0.1, 'depth': 0.1, 'weighting': 1.0}),
    ],
)
def test_rates_of_groups_that_are_not_named(rates, expected):
    found = learning_rates(['encoder', 'decoder', 'depth'], OptimizerConfig(learning_rate=rates))
    assert {name: found[name] for name in expected} == expected


def test_a_rate_of_a_group_that_the_network_does_not_have(network, tmp_path):
    config = tiny_config(tmp_path, optimizer=OptimizerConfig(learning_rate={'normals': 1e-3}))
    message = 'the network has no normals: expected some of encoder, decoder, segmentation, depth, weighting, default'
    with pytest.raises(ConfigError, match=message):
        create_optimizers(network, nn.Module(), config)


def train_some_steps(network, config):
    """Steps along any gradient, with decay, which moves even what has none."""
    freeze(network, config)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizers = create_optimizers(network, nn.Module(), config)
    for seed in range(2):
        outputs = network(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(seed)))
        sum(output.square().mean() for output in outputs.values()).backward()
        for optimizer in optimizers.values():
            optimizer.step()
            optimizer.zero_grad()
    after = network.state_dict()
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_frozen_batch_norm_keeps_statistics_and_factors(network, tmp_path):
    optimizer = OptimizerConfig(options={'weight_decay': 0.1})
    changed = train_some_steps(network, tiny_config(tmp_path, batch_norm='frozen', optimizer=optimizer))
    norms = {name for name, module in network.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert norms
    in_norms = {name for name in network.state_dict() if name.rpartition('.')[0] in norms}
    assert changed == set(network.state_dict()) - in_norms


def test_trained_batch_norm(network, tmp_path):
    assert train_some_steps(network, tiny_config(tmp_path)) == set(network.state_dict())


def test_frozen_modules_stay_bit_identical(network, tmp_path):
    optimizer = OptimizerConfig(options={'weight_decay': 0.1})
    config = tiny_config(tmp_path, frozen=['encoder.stem', 'heads.depth'], optimizer=optimizer)
    frozen = {name for name in network.state_dict() if name.startswith(('encoder.stem.', 'heads.depth.'))}
    assert train_some_steps(network, config) == set(network.state_dict()) - frozen


def test_what_cannot_be_frozen(network, tmp_path):
    with pytest.raises(
        ConfigError, match=r'frozen: joint_lw_refinenet has no encoder\.trunk; expected some of encoder'
    ):
        freeze(network, tiny_config(tmp_path, frozen=['encoder.trunk']))
    everything = tiny_config(tmp_path, frozen=['encoder', 'projections', 'crp', 'adapt', 'heads'])
    freeze(network, everything)
    with pytest.raises(ConfigError, match='no parameters are left to train'):
        create_optimizers(network, nn.Module(), everything)

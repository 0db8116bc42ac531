# SPDX-License-Identifier: Apache-2.0
"""Groups of a network's parameters, their optimizers, and the schedule of the learning rate."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from mtperception.networks.network import DECODER, ENCODER, Network
from mtperception.training.config import ConfigError, OptimizerConfig, TrainConfig
from mtperception.training.regimes import SHARED
from mtperception.training.registry import create

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    'sgd': torch.optim.SGD,
    'adam': torch.optim.Adam,
    'adamw': torch.optim.AdamW,
}
DEFAULT, WEIGHTING = 'default', 'weighting'
DEFAULT_RATE, DEFAULT_ENCODER_RATE = 1e-3, 4e-4
"""Learning rates where the configuration has none."""


def polynomial(progress: float, power: float = 0.9) -> float:
    """Falls from 1 to 0 as (1 - progress)^power."""
    return (1 - progress) ** power


def cosine(progress: float, floor: float = 0.01) -> float:
    """Falls from 1 to `floor` along half a cosine."""
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def step(progress: float, at: Sequence[float] = (0.5, 0.75), factor: float = 0.1) -> float:
    """Multiplied by `factor` at each of the progresses `at`."""
    return factor ** sum(progress >= bound for bound in at)


SCHEDULES: dict[str, Callable[..., float]] = {'polynomial': polynomial, 'cosine': cosine, 'step': step}
"""Factor on the learning rate by progress, 0 at the first step of a run to 1 after the last."""


def learning_rate_factor(config: OptimizerConfig, done: int, total: int) -> float:
    """Factor on all learning rates for the next step, of which `done` of `total` were taken."""
    warm_up = min(1.0, (done + 1) / (config.warm_up_steps + 1))
    return warm_up * create('schedule', SCHEDULES, config.schedule.name, config.schedule.options, done / total)


def learning_rates(groups: Sequence[str], config: OptimizerConfig) -> dict[str, float]:
    """Learning rate of each group of a network, and of what the weighting learns.

    Raises:
        ConfigError: for a group that the network does not have.
    """
    rates = config.learning_rate
    names = [*groups, WEIGHTING]
    unknown = [name for name in rates if name not in (*names, DEFAULT)]
    if unknown:
        raise ConfigError(
            f'optimizer.learning_rate: the network has no {", ".join(unknown)}: expected some of '
            f'{", ".join((*names, DEFAULT))}'
        )
    others = rates.get(DEFAULT, rates.get(DECODER, DEFAULT_RATE))
    encoder = rates.get(DEFAULT, DEFAULT_ENCODER_RATE)
    return dict.fromkeys(names, others) | {ENCODER: encoder} | rates


def create_optimizers(network: Network, weighting: nn.Module, config: TrainConfig) -> dict[str, Optimizer]:
    """One optimizer for the shared groups and what the weighting learns, and one for the group of each output, so that
    each can take its step by itself.

    Raises:
        ConfigError: for an optimizer, options or groups that do not exist, or if everything is frozen.
    """
    groups = network.parameter_groups()
    rates = learning_rates(list(groups), config.optimizer)
    settings: dict[str, list[dict[str, Any]]] = {}
    for name, parameters in (*groups.items(), (WEIGHTING, list(weighting.parameters()))):
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        part = name if name in network.outputs else SHARED
        if trained:
            setting = {'params': trained, 'lr': rates[name], 'base_lr': rates[name]}
            settings.setdefault(part, []).append(setting)
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ConfigError('frozen: no parameters are left to train')
    chosen = config.optimizer
    if 'lr' in chosen.options:
        raise ConfigError('optimizer.options: found lr, expected learning rates under optimizer.learning_rate')
    return {part: create('optimizer', OPTIMIZERS, chosen.name, chosen.options, each) for part, each in settings.items()}


def freeze(network: nn.Module, config: TrainConfig) -> None:
    """Put a network into training mode, but for what the configuration freezes: frozen modules and batch norms keep
    statistics and parameters.

    Raises:
        ConfigError: for a module that the network does not have.
    """
    network.train()
    modules = dict(network.named_modules())
    unknown = [name for name in config.frozen if name not in modules]
    if unknown:
        known = ', '.join(name for name in modules if name and name.count('.') < 2)
        raise ConfigError(f'frozen: {config.network.name} has no {", ".join(unknown)}; expected some of {known}')
    frozen = [modules[name] for name in config.frozen]
    if config.batch_norm == 'frozen':
        frozen += [module for module in modules.values() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for module in frozen:
        module.eval().requires_grad_(False)

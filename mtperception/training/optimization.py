"""Parts of a network, their optimizers, and the schedule of the learning rate."""

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import nn
from torch.optim import Optimizer

from mtperception.training.config import ConfigError, OptimizerConfig, TrainConfig
from mtperception.training.regimes import SHARED
from mtperception.training.registry import create

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {'sgd': torch.optim.SGD, 'adamw': torch.optim.AdamW}


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


def parameter_groups(network: nn.Module, tasks: Iterable[str]) -> dict[str, dict[str, list[nn.Parameter]]]:
    """The trainable parameters by part of a regime ('shared', and each task), and by what has its own learning rate.

    A network has its backbone in `encoder` and its task-specific layers in `heads[task]`; all else is the decoder.
    """
    tasks = tuple(tasks)
    groups: dict[str, dict[str, list[nn.Parameter]]] = {SHARED: {'encoder': [], 'decoder': []}}
    groups |= {task: {task: []} for task in tasks}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        top, _, rest = name.partition('.')
        if top == 'heads':
            task = rest.partition('.')[0]
            groups[task][task].append(parameter)
        else:
            groups[SHARED]['encoder' if top == 'encoder' else 'decoder'].append(parameter)
    return groups


def create_optimizers(network: nn.Module, weighting: nn.Module, config: TrainConfig) -> dict[str, Optimizer]:
    """One optimizer for each part, so that each can take its step by itself; what the weighting learns is shared.

    Raises:
        ValueError: for an optimizer or options that do not exist.
        ConfigError: if everything is frozen.
    """
    chosen = config.optimizer
    rates = chosen.learning_rate
    if 'decoder' not in rates or 'encoder' not in rates:
        raise ConfigError('optimizer.learning_rate: expected one for encoder and one for decoder')
    optimizers = {}
    for part, groups in parameter_groups(network, config.tasks).items():
        if part == SHARED:
            groups['decoder'] = groups['decoder'] + list(weighting.parameters())
        settings = [
            {'params': parameters, 'lr': rate, 'base_lr': rate}
            for name, parameters in groups.items()
            if parameters and (rate := rates.get(name, rates['decoder'])) is not None
        ]
        if settings:
            optimizers[part] = create('optimizer', OPTIMIZERS, chosen.name, chosen.options, settings)
    if not optimizers:
        raise ConfigError('frozen: nothing is left to train')
    return optimizers


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
        raise ConfigError(f'frozen: {config.network} has no {", ".join(unknown)}; expected some of {known}')
    frozen = [modules[name] for name in config.frozen]
    if config.batch_norm == 'frozen':
        frozen += [module for module in modules.values() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    for module in frozen:
        module.eval().requires_grad_(False)

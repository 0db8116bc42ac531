# SPDX-License-Identifier: Apache-2.0
"""From gradients to steps: which part of the network is updated, and when."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from mtperception.networks.network import Network
from mtperception.training.checkpoint import Checkpoint, Tensors, load_optimizer, named, optimizer_tensors
from mtperception.training.config import TrainConfig
from mtperception.training.divergence import DivergedError
from mtperception.training.optimization import create_optimizers, learning_rate_factor
from mtperception.training.regimes import REGIMES, SHARED
from mtperception.training.registry import create


class Updates:
    """Adds gradients up, and steps the optimizer of each part when the regime says so.

    Args:
        network: what is trained of it; says what its parts are: one for each output that has a group of its own.
        weighting: what it learns is updated with the shared part.
        config: names optimizer, schedule, regime and precision.
        device: of the network.

    Raises:
        ValueError: for names or options that do not exist.
        ConfigError: if everything is frozen.
    """

    def __init__(self, network: Network, weighting: nn.Module, config: TrainConfig, device: torch.device) -> None:
        self._config = config.optimizer
        self._modules = {'gradients': network, 'weighting_gradients': weighting}
        self.regime = create('regime', REGIMES, config.regime.name, config.regime.options, tuple(network.outputs))
        self.optimizers = create_optimizers(network, weighting, config)
        self.pending = dict.fromkeys(self.optimizers, 0)
        """By part: batches whose gradients have been added up since its last step."""
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == 'fp16')

    def set_learning_rates(self, done: int, total: int) -> None:
        """For the next step of a run that has taken `done` of `total`."""
        factor = learning_rate_factor(self._config, done, total)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group['lr'] = group['base_lr'] * factor

    def add(self, loss: torch.Tensor, annotated: Mapping[str, int]) -> None:
        """Add the gradients of a batch up.

        A head without an annotation gets none: where heads see each other's features, the losses of the others reach
        it, and would add up until its own task has a turn.

        Args:
            loss: what is to fall.
            annotated: by output, images of the batch that it learns from.
        """
        learns = {part: part == SHARED or annotated[part] > 0 for part in self.pending}
        others = [x for part, optimizer in self.optimizers.items() if not learns[part] for x in _parameters(optimizer)]
        waiting = [parameter.grad for parameter in others]
        for parameter in others:
            parameter.grad = None
        self.scaler.scale(loss).backward()
        for parameter, gradient in zip(others, waiting, strict=True):
            parameter.grad = gradient
        for part in self.pending:
            self.pending[part] += learns[part]

    @property
    def tolerates_overflow(self) -> bool:
        """Whether losses may be infinite yet: fp16 leaves out such steps and halves its scale, until that is 1."""
        return self.scaler.is_enabled() and self.scaler.get_scale() > 1

    def step(self, images: int, annotated: Mapping[str, int]) -> None:
        """Step the optimizers that are due after a batch, with the mean of the gradients that wait for it.

        Args:
            images: in the batch, of all processes.
            annotated: as for `add`.

        Raises:
            DivergedError: if a gradient is not finite; but fp16 leaves such a step out. Nothing has changed then.
        """
        parts = self.regime.due(images, annotated)
        due = {
            part: optimizer
            for part, optimizer in self.optimizers.items()
            if part in parts and self.pending[part] and any(x.grad is not None for x in _parameters(optimizer))
        }
        if not due:
            return
        for part, optimizer in due.items():
            self.scaler.unscale_(optimizer)
            for parameter in _parameters(optimizer):
                if parameter.grad is not None and self.pending[part] > 1:
                    parameter.grad /= self.pending[part]
        finite = self._shorten([parameter for optimizer in due.values() for parameter in _parameters(optimizer)])
        if not finite and not self.tolerates_overflow:
            raise DivergedError(f'the gradient of {" and ".join(due)} is not finite')
        for part, optimizer in due.items():
            # An overflow in one part is in the norm of all, and so in all clipped gradients: then none takes its step.
            if finite or not self.scaler.is_enabled():
                self.scaler.step(optimizer)
            optimizer.zero_grad()
            self.pending[part] = 0
        self.scaler.update()

    def _shorten(self, parameters: list[nn.Parameter]) -> bool:
        """Shorten gradients to `clip_norm`; whether their length is finite. fp16 looks for itself, by part."""
        clip = self._config.clip_norm
        if not clip and self.tolerates_overflow:
            return True
        return bool(nn.utils.clip_grad_norm_(parameters, clip or math.inf).isfinite())

    def tensors(self) -> Tensors:
        """For a checkpoint: gradients that wait, and the state of the optimizers."""
        tensors = {}
        for kind, module in self._modules.items():
            waiting = {key: x.grad for key, x in module.named_parameters() if x.grad is not None}
            tensors |= named(kind, waiting)
        for part, optimizer in self.optimizers.items():
            tensors |= named(f'optimizer/{part}', optimizer_tensors(optimizer))
        return tensors

    def scalars(self) -> dict[str, Any]:
        """For a checkpoint: counters of the regime, and the scale of the loss."""
        return {'pending': self.pending, 'regime': self.regime.state_dict(), 'scaler': self.scaler.state_dict()}

    def restore(self, checkpoint: Checkpoint) -> None:
        """Take over what `tensors` and `scalars` gave."""
        for kind, module in self._modules.items():
            gradients = checkpoint.group(kind)
            for key, parameter in module.named_parameters():
                if key in gradients:
                    parameter.grad = torch.empty_like(parameter).copy_(gradients[key])
        for part, optimizer in self.optimizers.items():
            load_optimizer(optimizer, checkpoint.group(f'optimizer/{part}'))
        self.pending = checkpoint.scalars['pending']
        self.regime.load_state_dict(checkpoint.scalars['regime'])
        self.scaler.load_state_dict(checkpoint.scalars['scaler'])


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group['params']]

# SPDX-License-Identifier: Apache-2.0
"""What is minimised: a loss for each output of a network, at every n-th pixel, and those against extra targets."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn

from mtperception.data.transforms import Targets
from mtperception.networks.network import Network
from mtperception.tasks import TASKS
from mtperception.training.config import ConfigError, TrainConfig
from mtperception.training.consistency import Consistency, SecondLook
from mtperception.training.distillation import Distillation
from mtperception.training.losses import LOSSES, Loss
from mtperception.training.registry import create
from mtperception.training.weighting import WEIGHTINGS, Weighting
from mtperception.upsampling import upsample


class ExtraTargets(NamedTuple):
    """What a batch teaches beside its annotations."""

    teachers: Sequence[Mapping[str, torch.Tensor]]
    """Raw outputs of each teacher."""
    second_look: SecondLook | None


class Objective(nn.Module):
    """The losses of a network's outputs, and the weighting that makes one of them.

    Called with outputs and targets, gives the loss of each output that can be compared, and those against
    `extra_targets`; `total` adds them up.

    Args:
        config: names losses and weighting.
        network: says what its outputs are.
        class_counts: counts the pixels of each class in the training set, see `Loss.prepare`.

    Raises:
        ConfigError: for losses or weightings that do not exist, losses for another task, or losses of outputs that the
            network does not have.
    """

    def __init__(self, config: TrainConfig, network: Network, class_counts: Callable[[], torch.Tensor]) -> None:
        super().__init__()
        unknown = [name for name in config.losses if name not in (*TASKS, *network.outputs)]
        if unknown:
            raise ConfigError(
                f'losses: {config.network.name} has no output {", ".join(unknown)}: expected some of '
                f'{", ".join(network.outputs)}'
            )
        self._all_outputs = dict(network.outputs)
        self.outputs = {output: task for output, task in network.outputs.items() if output in config.losses}
        """By name of each output that has a loss: the task whose annotations it learns from."""
        self.losses = {output: self._loss(config, output, task, class_counts) for output, task in self.outputs.items()}
        weighting = config.weighting
        self.weighting: Weighting = create('weighting', WEIGHTINGS, weighting.name, weighting.options, self.outputs)
        self.distillation = Distillation(config)
        self.consistency = Consistency(config)
        self._stride = config.loss_stride

    @property
    def names(self) -> list[str]:
        """The names of all losses."""
        return [*self.outputs, *self.distillation.names, *self.consistency.names]

    @property
    def taught(self) -> set[str]:
        """Tasks that have extra targets."""
        return {*self.distillation.weights, *self.consistency.weights}

    def supervised(self, annotated: Mapping[str, int], images: int) -> dict[str, int]:
        """By output of the network, how many of some images it learns from.

        Args:
            annotated: by task, how many of them have its annotation. Extra targets are of all, and for a task's own
                output, not for auxiliary ones.
            images: their number.
        """
        return {
            output: images if output in self.taught else annotated[task] for output, task in self._all_outputs.items()
        }

    def extra_targets(
        self, images: torch.Tensor, normalized: torch.Tensor, network: nn.Module, average: nn.Module, step: int
    ) -> ExtraTargets:
        """What teachers and the averaged weights say of a step's batch: uint8 N,3,H,W, and the same normalised.

        The averaged weights answer in the way of the network that learns.
        """
        second_look = self.consistency.look_again(images, network, average, step)
        return ExtraTargets(self.distillation(normalized), second_look)

    def total(self, losses: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The one to minimise: losses against annotations as the weighting says, and those against extra targets."""
        taught = sum(loss for name, loss in losses.items() if name not in self.outputs)
        annotated = {name: loss for name, loss in losses.items() if name in self.outputs}
        return taught + self.weighting(annotated) if annotated else taught

    @staticmethod
    def _loss(config: TrainConfig, output: str, task: str, class_counts: Callable[[], torch.Tensor]) -> Loss:
        chosen = config.losses[output]
        loss = create('loss', LOSSES, chosen.name, chosen.options)
        like = LOSSES[TASKS[task].loss].task
        if loss.task != like:
            fitting = [name for name, each in LOSSES.items() if getattr(each, 'task', like) == like]
            raise ConfigError(
                f'losses.{output}: found {chosen.name}, a loss for {loss.task}, expected one for {task}: '
                f'{", ".join(fitting)}'
            )
        loss.prepare(class_counts)
        return loss

    def forward(
        self,
        outputs: Mapping[str, torch.Tensor],
        extra: ExtraTargets,
        targets: Targets,
        annotated: Mapping[str, int],
    ) -> dict[str, torch.Tensor]:
        """Losses by name: of outputs whose task is annotated in the batch of all processes, and against extra targets.

        Args:
            outputs: raw, N,C,h,w each, of any size.
            extra: of the same images.
            targets: N,...,H,W by task.
            annotated: by task, images of the batch of all processes with its annotation.
        """
        compared = {
            output: self._compare(output, outputs[output], targets[task])
            for output, task in self.outputs.items()
            if annotated[task]
        }
        size = next(iter(targets.values())).shape[-2:]
        taught = self.distillation.losses(outputs, extra.teachers, size)
        return compared | taught | self.consistency.losses(outputs, extra.second_look, size)

    def _compare(self, output: str, raw: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss at every `loss_stride`-th pixel, of the output upsampled to the size of the truth."""
        stride = self._stride
        seen = target[..., stride // 2 :: stride, stride // 2 :: stride].to(raw.device, non_blocking=True)
        return self.losses[output](upsample(raw.float(), target.shape[-2:], stride), seen)

# SPDX-License-Identifier: Apache-2.0
"""Learning from what other networks say of an image: soft labels, depth and normals, everywhere in every image."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from mtperception.card import ModelCard, open_model
from mtperception.input_policy import depth_ratio, seen_focal_lengths
from mtperception.networks import load_network
from mtperception.tasks import DIRECTIONS, METRES, NO_ZOOM, TASKS
from mtperception.training.config import ConfigError, TrainConfig
from mtperception.training.loss import mean
from mtperception.upsampling import upsample

SUFFIX = '_teacher'
"""Behind a task: the name of the loss against the teachers."""


def soft_cross_entropy(output: torch.Tensor, teachers: Sequence[torch.Tensor], temperature: float) -> torch.Tensor:
    """Divergence of a student's classes from the teachers' mean probabilities, per pixel.

    Hinton et al., 2015, section 2: logits are divided by the temperature, the divergence is multiplied by its square.
    """
    expected = torch.stack([(logits / temperature).softmax(dim=1) for logits in teachers]).mean(dim=0)
    found = (output / temperature).log_softmax(dim=1)
    return temperature**2 * functional.kl_div(found, expected, reduction='none').sum(dim=1)


def depth_difference(output: torch.Tensor, teachers: Sequence[torch.Tensor], temperature: float) -> torch.Tensor:
    """Metres between a student and the teachers' mean, per pixel."""
    return (output - torch.stack([depth.abs() for depth in teachers]).mean(dim=0)).abs()[:, 0]


def angle(output: torch.Tensor, teachers: Sequence[torch.Tensor], temperature: float) -> torch.Tensor:
    """1 - cosine between a student and the teachers' mean direction, per pixel."""
    directions = torch.stack([functional.normalize(normals, dim=1) for normals in teachers]).sum(dim=0)
    return 1 - functional.cosine_similarity(output, directions, dim=1)


DIFFERENCES: dict[str, Callable[[torch.Tensor, Sequence[torch.Tensor], float], torch.Tensor]] = {
    'segmentation': soft_cross_entropy,
    'depth': depth_difference,
    'normals': angle,
}
"""By task: N,h,w of raw outputs, of a student and of its teachers, and a temperature."""


def mean_difference(
    task: str,
    student: torch.Tensor,
    teachers: Sequence[torch.Tensor],
    temperature: float = 1.0,
    counted: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean of a task's difference over the pixels of the batch of all processes.

    Args:
        task: a key of `DIFFERENCES`.
        student: raw outputs N,C,h,w.
        teachers: raw outputs of each teacher, N,C,h,w.
        temperature: that logits are divided by.
        counted: bool N,h,w: the pixels that count; all by default.
    """
    error = DIFFERENCES[task](student, teachers, temperature)
    weight = torch.ones_like(error) if counted is None else counted.expand_as(error).to(error)
    return mean((error * weight).sum(), weight.sum())


class Distillation(nn.Module):
    """The teachers of a run, and what their student is told by them. Without teachers it says nothing.

    Args:
        config: names teachers, the weight of each task, and a temperature.

    Raises:
        ConfigError: if a teacher lacks a task, or has other classes.
        ResourceNotFoundError, ModelError: if a teacher cannot be loaded.
    """

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self._config = config.distillation
        self._stride = config.loss_stride
        self.teachers = nn.ModuleList(load_network(name).requires_grad_(False) for name in self._config.teachers)
        cards = [open_model(name).card for name in self._config.teachers]
        self._ratios = [_ratios(config, card) for card in cards]
        """Focal lengths of the run's camera over those of each teacher's, as their networks see images."""
        weights = self._config.weights or {task: 1.0 for task in config.tasks if task in DIFFERENCES}
        self.weights = {task: weight for task, weight in weights.items() if weight}
        """By task, those above 0."""
        if unknown := [task for task in self.weights if task not in DIFFERENCES]:
            raise ConfigError(
                f'distillation.weights: {", ".join(unknown)}: expected tasks that can be compared '
                f'({", ".join(DIFFERENCES)})'
            )
        for name, card in zip(self._config.teachers, cards, strict=True):
            missing = [task for task in self.weights if task not in card.tasks or task not in config.tasks]
            if missing:
                raise ConfigError(
                    f'distillation: teacher {name} has no {", ".join(missing)}: expected weights of tasks that it has '
                    f'({", ".join(card.tasks)}) and the run too ({", ".join(config.tasks)})'
                )
            if 'segmentation' in self.weights and card.label_space != config.space.name:
                raise ConfigError(
                    f'distillation: {name} has the classes of {card.label_space}, expected {config.space.name}'
                )
        if not cards:
            self.weights = {}

    @property
    def names(self) -> list[str]:
        """The names of its losses."""
        return [f'{task}{SUFFIX}' for task in self.weights]

    def forward(self, images: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        """Raw outputs of each teacher for normalised images N,3,H,W, without gradients, as the run's camera has them.

        Empty if nothing is compared.

        Directions are not of unit length.
        """
        if not self.weights:
            return []
        with torch.no_grad():
            return [
                {task: to_camera(task, raw, ratios) for task, raw in teacher(images).items()}
                for teacher, ratios in zip(self.teachers, self._ratios, strict=True)
            ]

    def losses(
        self,
        outputs: Mapping[str, torch.Tensor],
        taught: Sequence[Mapping[str, torch.Tensor]],
        size: tuple[int, int],
    ) -> dict[str, torch.Tensor]:
        """The losses by name, each a mean over pixels of the batch of all processes, times its weight.

        Args:
            outputs: raw, of the student.
            taught: raw, of each teacher.
            size: height and width of the images; of their pixels every `loss_stride`-th counts.
        """
        losses = {}
        for task, weight in self.weights.items():
            student, *teachers = (upsample(raw[task].float(), size, self._stride) for raw in (outputs, *taught))
            losses[f'{task}{SUFFIX}'] = weight * mean_difference(task, student, teachers, self._config.temperature)
        return losses


def _ratios(config: TrainConfig, teacher: ModelCard) -> tuple[float, float]:
    """A view is of the run's camera; to its teacher it looks like one of the teacher's."""
    x, y = seen_focal_lengths(config.training_camera, config.input_policy)
    teacher_x, teacher_y = seen_focal_lengths(teacher.camera, teacher.input)
    ratio = x / teacher_x
    return ratio, ratio if y is None or teacher_y is None else y / teacher_y


def to_camera(task: str, raw: torch.Tensor, ratios: tuple[float, float]) -> torch.Tensor:
    """A raw output N,C,h,w as a camera with these focal ratios has it: what the predictor does with maps."""
    output = TASKS[task].outputs[0] if task in TASKS else None
    if output is None or ratios == NO_ZOOM:
        return raw
    if output.kind == METRES:
        return raw * depth_ratio(*ratios)
    return raw * raw.new_tensor((*ratios, 1))[:, None, None] if output.kind == DIRECTIONS else raw

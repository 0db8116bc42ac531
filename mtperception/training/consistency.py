# SPDX-License-Identifier: Apache-2.0
"""Steadiness: the network learns to say of an image what its averaged weights say of the image moved, zoomed and relit.

The averaged weights are the teacher (Tarvainen and Valpola, Mean teachers are better role models, NeurIPS 2017). Frames
of a video differ in such ways; a network that does not mind them flickers less.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm

from mtperception.pipeline import normalize
from mtperception.training.config import ConfigError, TrainConfig
from mtperception.training.distillation import DIFFERENCES, mean_difference, to_camera
from mtperception.training.distributed import rank
from mtperception.upsampling import upsample

SUFFIX = '_consistency'
"""Behind a task: the name of the loss against the second look."""


@dataclass(frozen=True)
class Motion:
    """Maps a point p of each image to zoom * p + shift; coordinates run from -1 to 1 along each axis."""

    zoom: torch.Tensor
    """float32 N."""
    shift: torch.Tensor
    """float32 N,2: x, y."""

    def move(self, images: torch.Tensor) -> torch.Tensor:
        """Moved images, float N,3,H,W; what comes in from outside is mirrored at the border."""
        zoom, shift = self._on(images.device)
        grid = (_points(images.shape[-2:], 1, images.device) - shift) / zoom
        return functional.grid_sample(images, grid, padding_mode='reflection', align_corners=False)

    def look_up(self, maps: torch.Tensor, size: tuple[int, int], stride: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Maps of moved images at the pixels of the images themselves.

        Args:
            maps: float N,C,h,w.
            size: height and width of the images; of their pixels every `stride`-th is looked up.
            stride: as in `upsampling.upsample`.

        Returns:
            N,C,rows,columns, and bool N,rows,columns: which of these pixels the moved images show.
        """
        zoom, shift = self._on(maps.device)
        grid = _points(size, stride, maps.device) * zoom + shift
        found = functional.grid_sample(maps, grid, padding_mode='border', align_corners=False)
        return found, (grid.abs() <= 1).all(dim=-1)

    def _on(self, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Zoom and shift, for points N,h,w,2."""
        return self.zoom.to(device)[:, None, None, None], self.shift.to(device)[:, None, None]


@dataclass(frozen=True)
class SecondLook:
    """What the averaged weights say of moved and relit images."""

    motion: Motion
    outputs: dict[str, torch.Tensor]
    """By task: raw, N,C,h,w, for the camera of the images that were not moved."""


class Consistency:
    """The losses against a second look. Without weights there are none.

    Args:
        config: `consistency` says how much the second look differs, and the weight of each task.

    Raises:
        ConfigError: for tasks that cannot be compared, or that the run does not have.
    """

    def __init__(self, config: TrainConfig) -> None:
        self._config = config.consistency
        self._seed = config.seed
        self._stride = config.loss_stride
        self.weights = {task: weight for task, weight in self._config.weights.items() if weight}
        """By task, those above 0."""
        possible = [task for task in config.tasks if task in DIFFERENCES]
        unknown = [task for task in self.weights if task not in possible]
        if unknown:
            raise ConfigError(
                f'consistency.weights: {", ".join(unknown)}: expected tasks of the run that can be compared '
                f'({", ".join(possible)})'
            )

    @property
    def names(self) -> list[str]:
        """The names of its losses."""
        return [f'{task}{SUFFIX}' for task in self.weights]

    def look_again(self, images: torch.Tensor, network: nn.Module, average: nn.Module, step: int) -> SecondLook | None:
        """What the averaged weights say of a batch, changed at random; None if nothing is compared.

        Args:
            images: uint8 N,3,H,W: this process's share.
            network: what learns, in training mode.
            average: the same with averaged weights, in evaluation mode.
            step: of the run; it, the seed and the process decide how each image changes.
        """
        if not self.weights:
            return None
        rng = np.random.default_rng((self._seed, step, rank()))
        motion = self._random_motion(len(images), rng)
        changed = self._relit(motion.move(images.float()), rng)
        changed = changed.round().clamp(0, 255).to(torch.uint8)
        normalized = normalize(changed.permute(0, 2, 3, 1)).contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), _as_in_training(average, network):
            answers = average(normalized)
        return SecondLook(motion, {task: _as_not_zoomed(task, answers[task], motion.zoom) for task in self.weights})

    def losses(
        self, outputs: Mapping[str, torch.Tensor], second_look: SecondLook | None, size: tuple[int, int]
    ) -> dict[str, torch.Tensor]:
        """The losses by name, each a mean over pixels of the batch of all processes, times its weight.

        Args:
            outputs: raw, of the images as they are.
            second_look: of the same images.
            size: height and width of the images; of their pixels every `loss_stride`-th counts.
        """
        losses = {}
        for task, weight in self.weights.items() if second_look else ():
            second, seen = second_look.motion.look_up(second_look.outputs[task].float(), size, self._stride)
            first = upsample(outputs[task].float(), size, self._stride)
            losses[f'{task}{SUFFIX}'] = weight * mean_difference(task, first, [second], counted=seen)
        return losses

    def _random_motion(self, images: int, rng: np.random.Generator) -> Motion:
        """One for each image: a single one for the batch would bias all targets the same way."""
        zoom, *shift = rng.uniform(-1, 1, (3, images)).astype(np.float32)
        shift = 2 * self._config.shift * np.stack(shift, axis=1)  # an image is 2 wide
        return Motion(torch.from_numpy((1 + self._config.zoom) ** zoom), torch.from_numpy(shift))

    def _relit(self, images: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
        """Float N,3,H,W, each image with another exposure, and with noise."""
        generator = torch.Generator(images.device).manual_seed(int(rng.integers(2**63)))
        options = {'generator': generator, 'device': images.device}
        exposure = 1 + self._config.light * (2 * torch.rand(len(images), 1, 1, 1, **options) - 1)
        return images * exposure + self._config.noise * torch.randn(images.shape, **options)


@contextmanager
def _as_in_training(average: nn.Module, network: nn.Module) -> Iterator[None]:
    """Let averaged weights answer with the statistics of the batch wherever the network does.

    With those that they have gathered, their answers would be off by a bias which the network then learns, and the
    averages after it, without end. Nothing is gathered meanwhile.
    """
    modules = zip(average.modules(), network.modules(), strict=True)
    norms = [(ours, theirs) for ours, theirs in modules if isinstance(ours, _BatchNorm) and theirs.training]
    gathers = [ours.track_running_stats for ours, _ in norms]
    try:
        for ours, _ in norms:
            ours.training, ours.track_running_stats = True, False
        yield
    finally:
        for (ours, _), gathered in zip(norms, gathers, strict=True):
            ours.training, ours.track_running_stats = False, gathered


def _as_not_zoomed(task: str, raw: torch.Tensor, zoom: torch.Tensor) -> torch.Tensor:
    """Raw answers N,C,h,w to images that were zoomed, as the camera has them that took the images."""
    return torch.cat([to_camera(task, raw[i : i + 1], (z, z)) for i, z in enumerate(zoom.tolist())])


def _points(size: tuple[int, int], stride: int, device: torch.device) -> torch.Tensor:
    """float32 1,h,w,2: x and y, -1 to 1, of the centre of every `stride`-th pixel, from number stride // 2 on."""
    y, x = (((2 * torch.arange(stride // 2, n, stride, device=device) + 1) / n - 1) for n in size)
    return torch.stack(torch.meshgrid(x, y, indexing='xy'), dim=-1)[None]

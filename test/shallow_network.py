# SPDX-License-Identifier: Apache-2.0
"""A network of one file: what somebody writes who adds one. It is no good, but it has an output for training alone."""

from collections.abc import Sequence

import torch
from torch import nn

from mtperception.networks.network import Network


class ShallowNet(Network):
    """Two strided convolutions; depth is also read off the first of them, in training."""

    TASKS = ('depth', 'segmentation')
    TOGETHER = ('depth', 'segmentation')
    AUXILIARY = {'early_depth': 'depth'}  # noqa: RUF012 - as in the base

    def __init__(self, num_classes: int, tasks: Sequence[str], width: int = 16) -> None:
        super().__init__(num_classes, tasks)
        self.first = nn.Sequential(nn.Conv2d(3, width, 3, 2, 1), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, 2, 1), nn.ReLU())
        self.heads = nn.ModuleDict({output: nn.Conv2d(width, self.out_channels(output), 1) for output in self.outputs})

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map N,3,H,W to outputs at a quarter of that, the early one at half."""
        early = self.first(image)
        late = self.second(early)
        outputs = {task: self.heads[task](late) for task in self.tasks}
        return outputs | ({'early_depth': self.heads['early_depth'](early)} if self.training else {})

    def group_of(self, name: str) -> str:
        """It has no encoder and no decoder."""
        return 'trunk' if name.startswith(('first', 'second')) else super().group_of(name)

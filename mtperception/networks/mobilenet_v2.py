# SPDX-License-Identifier: Apache-2.0
"""MobileNet-v2 as an encoder (Sandler et al., CVPR 2018)."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn

from mtperception.networks.layers import conv_bn
from mtperception.networks.pretrained import published_tensor


class Stage(NamedTuple):
    """One row of Table 2 of the paper."""

    expansion: int
    channels: int
    blocks: int
    stride: int


STEM_CHANNELS = 32
STAGES = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)


class InvertedResidual(nn.Module):
    """Expand by 1x1, filter depthwise by 3x3, project by a linear 1x1; residual where the shapes allow it."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.residual = stride == 1 and in_channels == out_channels
        self.expand = conv_bn(in_channels, hidden)
        self.depthwise = conv_bn(hidden, hidden, kernel_size=3, stride=stride, groups=hidden)
        self.project = conv_bn(hidden, out_channels, activation=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N,C,H,W to N,C',ceil(H/stride),ceil(W/stride)."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.residual else y


class MobileNetV2Encoder(nn.Module):
    """MobileNet-v2 (width 1.0) up to its 320-channel stage.

    Unlike torchvision's, the first block (expansion 1) keeps its 1x1 expansion convolution, as the published
    Light-Weight RefineNet does.
    """

    IMAGENET = 'MobileNet_V2_Weights.IMAGENET1K_V1'
    """torchvision's name of the weights that `load_torchvision` is for."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, STEM_CHANNELS, kernel_size=3, stride=2)
        self.stages = nn.ModuleList()
        in_channels = STEM_CHANNELS
        for expansion, channels, blocks, stride in STAGES:
            stage = nn.Sequential()
            for block in range(blocks):
                stage.append(InvertedResidual(in_channels, channels, stride if block == 0 else 1, expansion))
                in_channels = channels
            self.stages.append(stage)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Map N,3,H,W to the outputs of the seven stages, N,C,h,w, finest first."""
        features = []
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features

    def load_torchvision(self, state_dict: Mapping[str, torch.Tensor]) -> None:
        """Load ImageNet weights in the layout of `torchvision.models.mobilenet_v2` (keys `features.*`).

        torchvision's first block has no expansion convolution; ours starts as the identity, which its batch norm and
        ReLU6 keep: the input has passed a ReLU6 already. Its statistics are those that the stem's batch norm promises,
        so that it changes little in training either, where those of the batch take their place.

        Raises:
            ValueError: if an encoder weight is missing from `state_dict` or has another shape.
        """
        state = self.state_dict()
        first = 'stages.0.0.expand.'
        for key, value in state.items():
            if key.startswith(first) or key.endswith('num_batches_tracked'):
                continue
            state[key] = published_tensor(state_dict, _torchvision_key(key), value.shape, 'MobileNet-v2').to(
                value.dtype
            )
        state[first + '0.weight'] = torch.eye(STEM_CHANNELS).reshape(STEM_CHANNELS, STEM_CHANNELS, 1, 1)
        mean, variance = _rectified_statistics(state['stem.1.bias'], state['stem.1.weight'])
        state[first + '1.running_mean'] = state[first + '1.bias'] = mean
        state[first + '1.running_var'] = variance
        # Batch norm divides by sqrt(variance + eps): this factor makes it the identity.
        state[first + '1.weight'] = (variance + self.stages[0][0].expand[1].eps).sqrt()
        self.load_state_dict(state)


def _rectified_statistics(mean: torch.Tensor, deviation: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of normally distributed values after ReLU6, by the middles of 1000 equally likely intervals."""
    quantiles = torch.special.ndtri((torch.arange(1000, dtype=torch.float64) + 0.5) / 1000)
    rectified = (mean[:, None] + deviation[:, None] * quantiles).clamp(0, 6)
    return rectified.mean(dim=1).to(mean.dtype), rectified.var(dim=1).to(mean.dtype)


def _torchvision_key(key: str) -> str:
    """Name in torchvision's layout of the encoder parameter `key`."""
    part, _, rest = key.partition('.')
    if part == 'stem':
        return f'features.0.{rest}'
    stage, block, role, layer, name = rest.split('.')
    index = 1 + sum(row.blocks for row in STAGES[: int(stage)]) + int(block)
    positions = _FIRST_BLOCK if index == 1 else _BLOCK
    return f'features.{index}.conv.{positions[role, layer]}.{name}'


_BLOCK = {
    ('expand', '0'): '0.0',
    ('expand', '1'): '0.1',
    ('depthwise', '0'): '1.0',
    ('depthwise', '1'): '1.1',
    ('project', '0'): '2',
    ('project', '1'): '3',
}
_FIRST_BLOCK = {
    ('depthwise', '0'): '0.0',
    ('depthwise', '1'): '0.1',
    ('project', '0'): '1',
    ('project', '1'): '2',
}

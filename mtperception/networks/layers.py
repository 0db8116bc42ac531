# SPDX-License-Identifier: Apache-2.0
"""Building blocks shared by the networks."""

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from mtperception.networks.network import NetworkError


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel_size: int = 1,
    stride: int = 1,
    groups: int = 1,
    activation: bool = True,
) -> nn.Sequential:
    """Convolution without bias, batch norm (eps 1e-5) and, unless `activation` is off, ReLU6; 'same' padding."""
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
    if activation:
        layers.append(nn.ReLU6(inplace=True))
    return nn.Sequential(*layers)


class CRPBlock(nn.Module):
    """Chained residual pooling: context from repeated pooling at constant resolution.

    Each stage is a 5x5 max-pool of stride 1 followed by a 1x1 convolution; it takes the output of the stage before it,
    and all the stages are added to the input. RefineNet (Lin et al., CVPR 2017), section 3.2, in the light-weight form
    of Nekrasov et al. (BMVC 2018).

    Args:
        channels: channels of input and output.
        depthwise: use depthwise 1x1 convolutions, for the finest resolution (Nekrasov et al., ICRA 2019, III-A).
    """

    STAGES = 4

    def __init__(self, channels: int, depthwise: bool = False) -> None:
        super().__init__()
        groups = channels if depthwise else 1
        self.convolutions = nn.ModuleList(
            nn.Conv2d(channels, channels, 1, groups=groups, bias=False) for _ in range(self.STAGES)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N,C,H,W to N,C,H,W."""
        total = x
        for convolution in self.convolutions:
            x = convolution(functional.max_pool2d(x, kernel_size=5, stride=1, padding=2))
            total = total + x
        return total


def scaled(channels: Sequence[int], width: float) -> list[int]:
    """Numbers of channels times a factor, 1 at least: how a network is made thinner than its paper has it.

    Raises:
        NetworkError: if the factor is not a finite number of more than 0.
    """
    if not 0 < width < math.inf:
        raise NetworkError(f'width {width}: expected a finite number of more than 0')
    return [max(1, round(count * width)) for count in channels]


def upsample_like(x: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    """Bilinear upsampling (half-pixel centres) of N,C,h,w to the height and width of `reference`."""
    return functional.interpolate(x, size=reference.shape[-2:], mode='bilinear', align_corners=False)


def pad_to_multiple(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """Repeat the last row and column of N,C,H,W until height and width are multiples of `multiple`.

    Rows are picked by index, not by `functional.pad`: for the exporter too, their number is then `multiple` times a
    whole number, and stays divisible in a graph of any size.
    """
    for dim in (2, 3):
        size = x.shape[dim]
        padded = (size + multiple - 1) // multiple * multiple
        x = x.index_select(dim, torch.arange(padded, device=x.device).clamp(max=size - 1))
    return x

# SPDX-License-Identifier: Apache-2.0
"""ResNet-50 as an encoder (He et al., CVPR 2016), dilated to stride 8 as in DeepLab v3, of torchvision's blocks."""

from collections.abc import Mapping

import torch
from torch import nn

from mtperception.networks.layers import scaled
from mtperception.networks.pretrained import published_tensor

STEM_CHANNELS = 64
PLANES = (64, 128, 256, 512)
"""Channels of the 3x3 convolutions, by stage."""
BLOCKS = (3, 4, 6, 3)
EXPANSION = 4
"""Channels of a block's output, in those of its 3x3 convolution."""
STRIDES = (1, 2, 1, 1)
DILATIONS = (1, 1, 2, 4)
"""Dilations of the stages; the last two have dilation instead of stride (DeepLab v3, section 3.1)."""


class ResNet50Encoder(nn.Module):
    """The stem and the four stages; strides are 4, then 8.

    Args:
        width: factor on all channels.

    Attributes:
        channels: of the output of each stage.
    """

    IMAGENET = 'ResNet50_Weights.IMAGENET1K_V1'
    """torchvision's name of the weights that `load_torchvision` is for."""

    def __init__(self, width: float = 1.0) -> None:
        from torchvision.models.resnet import Bottleneck  # slow to import, and of use to these networks alone

        super().__init__()
        channels, *planes = scaled((STEM_CHANNELS, *PLANES), width)
        self.channels = [EXPANSION * count for count in planes]
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels, 7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        self.stages = nn.ModuleList()
        dilation_before = 1
        for count, blocks, stride, dilation in zip(planes, BLOCKS, STRIDES, DILATIONS, strict=True):
            # The first block of a dilated stage still sees the spacing of the stage before, as in torchvision.
            stage = nn.Sequential(bottleneck(channels, EXPANSION * count, stride, dilation_before))
            channels = EXPANSION * count
            stage.extend(Bottleneck(channels, count, dilation=dilation) for _ in range(blocks - 1))
            self.stages.append(stage)
            dilation_before = dilation

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Map N,3,H,W to the outputs of the four stages, N,C,h,w, finest first."""
        features = []
        x = self.stem(image)
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features

    def load_torchvision(self, state_dict: Mapping[str, torch.Tensor]) -> None:
        """Load ImageNet weights in the layout of `torchvision.models.resnet50`.

        Raises:
            InputError: if a weight is missing from `state_dict` or has another shape.
        """
        state = self.state_dict()
        for key, value in state.items():
            if key.endswith('num_batches_tracked'):
                continue
            state[key] = published_tensor(state_dict, _torchvision_key(key), value.shape, 'ResNet-50').to(value.dtype)
        self.load_state_dict(state)


def _torchvision_key(key: str) -> str:
    """Name in torchvision's layout of the encoder parameter `key`."""
    part, number, rest = key.split('.', 2)
    return f'{("conv1", "bn1")[int(number)]}.{rest}' if part == 'stem' else f'layer{int(number) + 1}.{rest}'


def bottleneck(in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1) -> nn.Module:
    """ResNet's block where channels or size change: the shortcut is a 1x1 convolution."""
    from torchvision.models.resnet import Bottleneck

    shortcut = nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))
    return Bottleneck(in_channels, out_channels // EXPANSION, stride, shortcut, dilation=dilation)

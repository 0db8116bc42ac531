# SPDX-License-Identifier: Apache-2.0
"""VGG-16 as an encoder (Simonyan and Zisserman, ICLR 2015, configuration D), without its fully connected layers."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from mtperception.networks.layers import scaled
from mtperception.networks.pretrained import published_tensor

CHANNELS = (64, 128, 256, 512, 512)
"""Channels of the five stages."""
CONVOLUTIONS = (2, 2, 3, 3, 3)
"""3x3 convolutions in each stage."""


class VGG16Encoder(nn.Module):
    """The thirteen 3x3 convolutions with bias and ReLU, in five stages; the caller pools between them.

    Args:
        batch_norm: whether each convolution is followed by a batch norm.
        dilations: of the convolutions of each stage.
        width: factor on all channels.

    Attributes:
        channels: of the output of each stage.
    """

    IMAGENET = 'VGG16_Weights.IMAGENET1K_V1'
    """torchvision's name of the weights that `load_torchvision` is for."""

    def __init__(
        self, batch_norm: bool = False, dilations: Sequence[int] = (1, 1, 1, 1, 1), width: float = 1.0
    ) -> None:
        super().__init__()
        self.channels = scaled(CHANNELS, width)
        self.stages = nn.ModuleList()
        in_channels = 3
        for channels, count, dilation in zip(self.channels, CONVOLUTIONS, dilations, strict=True):
            stage = nn.Sequential()
            for _ in range(count):
                stage.append(nn.Conv2d(in_channels, channels, 3, padding=dilation, dilation=dilation))
                if batch_norm:
                    stage.append(nn.BatchNorm2d(channels))
                stage.append(nn.ReLU(inplace=True))
                in_channels = channels
            self.stages.append(stage)

    def load_torchvision(self, state_dict: Mapping[str, torch.Tensor]) -> None:
        """Load ImageNet weights in the layout of `torchvision.models.vgg16` (keys `features.*`).

        Batch norms keep their initial values: those weights have none.

        Raises:
            InputError: if a convolution is missing from `state_dict` or has another shape.
        """
        layers = [layer for layer in self.modules() if isinstance(layer, nn.Conv2d)]
        for index, layer in zip(_torchvision_indices(), layers, strict=True):
            for name, parameter in layer.named_parameters():
                tensor = published_tensor(state_dict, f'features.{index}.{name}', parameter.shape, 'VGG-16')
                with torch.no_grad():
                    parameter.copy_(tensor)


def _torchvision_indices() -> list[int]:
    """Positions of the convolutions in torchvision's `features`: each has a ReLU behind it, each stage a pooling."""
    indices, position = [], 0
    for count in CONVOLUTIONS:
        indices += [position + 2 * convolution for convolution in range(count)]
        position += 2 * count + 1
    return indices

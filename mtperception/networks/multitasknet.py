# SPDX-License-Identifier: Apache-2.0
"""MultitaskNet (Rajvanshi and Kumar, 'MultitaskNet: Joint Depth Estimation and Semantic Segmentation using Deep
Convolutional Network'), section 3.1 and figure 1, in the form of the authors' code (github.com/imvinod/MultitaskNet).
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from mtperception.errors import InputError
from mtperception.networks.layers import pad_to_multiple, scaled
from mtperception.networks.network import Network
from mtperception.networks.pretrained import IMAGENET
from mtperception.networks.published_layout import PublishedLayout
from mtperception.networks.unpooling import pool_with_positions, unpool
from mtperception.networks.vgg16 import VGG16Encoder

DECODER_STAGES = (
    (1024, (1024, 1024, 512)),
    (1024, (1024, 1024, 256)),
    (512, (512, 512, 128)),
    (256, (256, 64)),
    (128, (64,)),
)
"""Channels of a stage's input (half of them unpooled, half the encoder's) and of its convolutions, coarsest first."""
STRIDE = 32
DROPOUT = 0.5


class MultitaskNet(Network):
    """VGG-16 with batch norm, and one decoder per task that unpools by the encoder's indices (experiment 2 to 4).

    Each 2x2 max-pool keeps where its maxima were; every decoder stage puts its input back there and concatenates the
    features of the encoder's stage. Dropout follows encoder stages 3 to 5 and the decoder's first three.

    Any input size works: the last rows and columns are repeated up to a multiple of 32 and cut off again (ours: the
    authors' code takes multiples of 32 only).

    Args:
        num_classes: channels of the segmentation output.
        tasks: decoders to build, out of 'segmentation' and 'depth'.
        skip: whether decoder stages see the encoder's features (section 4.1.2); without them it is the network of
            experiment 1, in which decoder stages are half as wide at their inputs.
        width: factor on all channels.

    Raises:
        NetworkError: for tasks that it does not support.
    """

    TASKS = ('segmentation', 'depth')
    ENCODER_START = IMAGENET

    def __init__(
        self,
        num_classes: int,
        tasks: Sequence[str] = ('segmentation', 'depth'),
        skip: bool = True,
        width: float = 1.0,
    ) -> None:
        super().__init__(num_classes, tasks)
        self.encoder = VGG16Encoder(batch_norm=True, width=width)
        self.dropout = nn.Dropout(DROPOUT)
        self.decoders = nn.ModuleDict({task: _Decoder(self.out_channels(task), skip, width) for task in tasks})

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run the network.

        Args:
            image: float32 N,3,H,W, RGB, ImageNet-normalised; any H and W.

        Returns:
            Raw outputs of the input's size: `segmentation` N,C,H,W logits, `depth` N,1,H,W signed metres.
        """
        height, width = image.shape[-2:]
        x = pad_to_multiple(image, STRIDE)
        features, positions = [], []
        for number, stage in enumerate(self.encoder.stages, start=1):
            x = stage(x)
            features.append(x)
            x, where = pool_with_positions(x)
            positions.append(where)
            if number >= 3:
                x = self.dropout(x)
        outputs = {task: decoder(x, features, positions) for task, decoder in self.decoders.items()}
        return {task: output[..., :height, :width] for task, output in outputs.items()}


class _Decoder(nn.Module):
    """Five stages from stride 32 back to the input's size."""

    def __init__(self, out_channels: int, skip: bool, width: float) -> None:
        super().__init__()
        self.skip = skip
        self.stages = nn.ModuleList()
        for number, (in_channels, out) in enumerate(DECODER_STAGES):
            (half,) = scaled([in_channels // 2], width)
            channels = 2 * half if skip else half
            stage = nn.Sequential()
            for count in scaled(out, width):
                stage.extend([nn.Conv2d(channels, count, 3, padding=1), nn.BatchNorm2d(count), nn.ReLU(inplace=True)])
                channels = count
            if number < 3:
                stage.append(nn.Dropout(DROPOUT))
            self.stages.append(stage)
        self.predict = nn.Conv2d(channels, out_channels, 3, padding=1)

    def forward(
        self, x: torch.Tensor, features: Sequence[torch.Tensor], positions: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Map N,512,H/32,W/32 to N,C,H,W; features and positions are the encoder's, finest first."""
        for stage, skipped, where in zip(self.stages, reversed(features), reversed(positions), strict=True):
            x = unpool(x, where)
            x = stage(torch.cat([x, skipped], dim=1) if self.skip else x)
        return self.predict(x)


def read_published(state_dict: Mapping[str, torch.Tensor]) -> PublishedLayout:
    """Rename the tensors of the authors' checkpoint; the class count is read from the last convolution of the labels.

    Raises:
        InputError: for a key that the authors' network does not have, or without any decoder.
    """
    renamed = {_renamed(key): value for key, value in state_dict.items()}
    tasks = tuple(task for task in ('segmentation', 'depth') if f'decoders.{task}.predict.weight' in renamed)
    if not tasks:
        raise InputError('no decoder CBR1_Dec or CBR1_Depth_Dec: not a published MultitaskNet checkpoint')
    num_classes = len(renamed['decoders.segmentation.predict.weight']) if 'segmentation' in tasks else 0
    return PublishedLayout(renamed, num_classes, tasks)


_PUBLISHED_DECODERS = {'Dec': 'segmentation', 'Depth_Dec': 'depth'}


def _renamed(key: str) -> str:
    """Our name of the authors' parameter `key`; raises InputError for an unknown one."""
    match = re.fullmatch(r'CBR([1-5])_(RGB|Dec|Depth_Dec)\.(\d)\.(\w+)', key.removeprefix('module.'))
    if not match:
        raise InputError(f'unexpected key {key!r}: not a published MultitaskNet checkpoint')
    stage, part, layer, name = int(match[1]), *match.groups()[1:]
    if part == 'RGB':
        return f'encoder.stages.{stage - 1}.{layer}.{name}'
    decoder = f'decoders.{_PUBLISHED_DECODERS[part]}'
    # The finest stage ends with the output's convolution.
    return f'{decoder}.predict.{name}' if (stage, layer) == (1, '3') else f'{decoder}.stages.{5 - stage}.{layer}.{name}'

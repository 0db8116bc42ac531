# SPDX-License-Identifier: Apache-2.0
"""MT-UNet ('End-to-End Multi-Task Learning Driven by a Novel Task-Specific Feature Learning'), 'Network architecture'
and figure 2: a densely connected U-Net encoder, and one decoder per task with attention and cross-talk.

Where the paper leaves a choice it is ours: the encoder is dense within a block (pooling lies between blocks, and the
figure joins the convolutions of a block); convolutions have ReLU, then batch norm, as its text has it, but in attention
batch norm comes first, so that a mask stays between 0 and 1; between decoder blocks a 2x2 transposed convolution
doubles the size, as behind the bottleneck; dropout is 0.2, which it does not state, of whole channels.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

from mtperception.networks.layers import pad_to_multiple, scaled
from mtperception.networks.network import Network

CHANNELS = (64, 128, 256, 512)
"""Channels of the encoder's blocks, finest first; the decoders have them in reverse."""
BOTTLENECK_CHANNELS = 1024
STRIDE = 16
"""Stride of the bottleneck."""
DROPOUT = 0.2
CROSS_TALK_BLOCK = 2
"""Index of the decoder block that also gets what the other decoder's block before it gave."""


class MTUNet(Network):
    """One dense encoder, and for each task a decoder of four blocks. With one task it is the paper's ST-UNet.

    Any input size works: the last rows and columns are repeated up to a multiple of 16 and cut off again.

    Args:
        num_classes: channels of the segmentation output.
        tasks: decoders to build, out of 'segmentation' and 'depth'.
        cross_talk: whether the second block of each decoder also feeds the third of the others (table 3).
        attention: whether each decoder block is weighted by a mask of its own.
        width: factor on all channels.

    Raises:
        NetworkError: for tasks that it does not support.
    """

    TASKS = ('segmentation', 'depth')

    def __init__(
        self,
        num_classes: int,
        tasks: Sequence[str] = ('segmentation', 'depth'),
        cross_talk: bool = True,
        attention: bool = True,
        width: float = 1.0,
    ) -> None:
        super().__init__(num_classes, tasks)
        channels = scaled((*CHANNELS, BOTTLENECK_CHANNELS), width)
        self.encoder = Encoder(channels)
        other_decoders = len(tasks) - 1 if cross_talk else 0
        self.decoders = nn.ModuleDict(
            {task: Decoder(channels, self.out_channels(task), other_decoders, attention) for task in tasks}
        )

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run the network.

        Args:
            image: float32 N,3,H,W, RGB, ImageNet-normalised; any H and W.

        Returns:
            Raw outputs of the input's size: `segmentation` N,C,H,W logits, `depth` N,1,H,W signed metres.
        """
        height, width = image.shape[-2:]
        x, skips = self.encoder(pad_to_multiple(image, STRIDE))
        states = dict.fromkeys(self.decoders, x)
        for index, skip in enumerate(reversed(skips)):
            states = {
                task: decoder.block(index, skip, states[task], [states[other] for other in states if other != task])
                for task, decoder in self.decoders.items()
            }
        return {task: decoder.predict(states[task])[..., :height, :width] for task, decoder in self.decoders.items()}


class Encoder(nn.Module):
    """Four dense blocks, each followed by dropout and pooling, and the bottleneck, which ends at half its stride.

    Args:
        channels: of the blocks, finest first, and of the bottleneck.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        *widths, bottleneck = channels
        self.blocks = nn.ModuleList(DenseBlock(*pair) for pair in pairwise((3, *widths)))
        self.reduce = nn.Sequential(nn.Dropout2d(DROPOUT), nn.MaxPool2d(2))
        self.bottleneck = nn.Sequential(
            conv_relu_bn(widths[-1], bottleneck),
            conv_relu_bn(bottleneck, bottleneck),
            nn.ConvTranspose2d(bottleneck, bottleneck, 2, stride=2),
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Map N,3,H,W to N,1024,H/8,W/8, and the outputs of the blocks, N,C,h,w, finest first."""
        skips = []
        for block in self.blocks:
            x = block(x)
            skips.append(x)
            x = self.reduce(x)
        return self.bottleneck(x), skips


class DenseBlock(nn.Module):
    """Two convolutions; the second also sees the input of the first (Huang et al., CVPR 2017, equation 2).

    Args:
        in_channels: of the input.
        out_channels: of each convolution.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.first = conv_relu_bn(in_channels, out_channels)
        self.second = conv_relu_bn(in_channels + out_channels, out_channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N,C,H,W to N,C',H,W."""
        return self.second(torch.cat([x, self.first(x)], dim=1))


class Decoder(nn.Module):
    """Four blocks from stride 8 to the input's size, and the output.

    Args:
        channels: of the encoder's blocks, finest first, and of the bottleneck.
        out_channels: of the output.
        other_decoders: number of decoders whose features its third block gets too.
        attention: whether its blocks have masks.
    """

    def __init__(self, channels: Sequence[int], out_channels: int, other_decoders: int, attention: bool) -> None:
        super().__init__()
        before, widths = channels[:0:-1], channels[-2::-1]
        cross = [before[index] * other_decoders if index == CROSS_TALK_BLOCK else 0 for index in range(len(widths))]
        self.blocks = nn.ModuleList(
            AttentionBlock(before[index] + cross[index] + width, width, attention) for index, width in enumerate(widths)
        )
        self.enlarge = nn.ModuleList(nn.ConvTranspose2d(width, width, 2, stride=2) for width in widths[:-1])
        self.has_cross_talk = other_decoders > 0
        self.predict = nn.Conv2d(widths[-1], out_channels, 1)

    def block(self, index: int, skip: torch.Tensor, own: torch.Tensor, others: Sequence[torch.Tensor]) -> torch.Tensor:
        """One step of the decoder.

        Args:
            index: 0..3.
            skip: the encoder's features of this size.
            own: what this decoder gave in the step before, already of this size.
            others: what the other decoders gave.

        Returns:
            What the block gives, doubled in size unless it is the last.
        """
        cross = others if index == CROSS_TALK_BLOCK and self.has_cross_talk else []
        x = self.blocks[index](torch.cat([skip, own, *cross], dim=1))
        return self.enlarge[index](x) if index < len(self.enlarge) else x


class AttentionBlock(nn.Module):
    """Two convolutions; a mask made of the first one's output weights the second one's.

    Args:
        in_channels: of the input.
        out_channels: of each convolution.
        attention: whether there is a mask.
    """

    def __init__(self, in_channels: int, out_channels: int, attention: bool) -> None:
        super().__init__()
        self.first = conv_relu_bn(in_channels, out_channels)
        self.second = conv_relu_bn(out_channels, out_channels)
        self.mask = (
            nn.Sequential(
                nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.ReLU(inplace=True),
                nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
                nn.BatchNorm2d(out_channels),
                nn.Sigmoid(),
            )
            if attention
            else None
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N,C,H,W to N,C',H,W."""
        first = self.first(x)
        second = self.second(first)
        return second if self.mask is None else second * self.mask(first)


def conv_relu_bn(in_channels: int, out_channels: int) -> nn.Sequential:
    """3x3 convolution, ReLU, batch norm, in the paper's order."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.ReLU(inplace=True), nn.BatchNorm2d(out_channels)
    )

# SPDX-License-Identifier: Apache-2.0
"""HybridNet (Sánchez-Escobedo, Lin, Casas and Pardàs, 'HybridNet for Depth Estimation and Semantic Segmentation'),
section 3 and figure 1; the same group draws the blocks in Lin et al., Sensors 19(8):1795, 2019.

Four parts: a features network that both tasks share, an upsampling network for the labels, a global depth network that
sees the image alone, and a refining depth network. Where the papers leave a width open it is that of the networks that
they build on: DeepLab's VGG-16 and ASPP-L (Chen et al., TPAMI 2017, sections 3.1 and 4.1) and Eigen et al.'s coarse and
fine networks (NIPS 2014, figure 1). Ours: convolutions of the global network are padded, so that sizes divide evenly.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from mtperception.networks.layers import scaled, upsample_like
from mtperception.networks.network import ENCODER, Network
from mtperception.networks.pretrained import IMAGENET
from mtperception.networks.vgg16 import VGG16Encoder

ASPP_RATES = (6, 12, 18, 24)
"""Dilation rates of ASPP-L."""
ASPP_CHANNELS = 1024
GLOBAL_SIZE = (228, 304)
"""Height and width that the global depth network sees, as Eigen et al. have it for NYUv2."""
COARSE_SIZE = (55, 74)
"""Height and width of its map."""
FINE_CHANNELS = 63
"""Output channels of the refining network's first convolution; 64 with the global depth map."""


class HybridNet(Network):
    """Shared VGG-16 features, ASPP for the labels, and a global depth map that is refined by the shared features.

    With 'segmentation' alone it is DeepLab-ASPP. With 'depth' alone and without shared features it is DepthNet, the
    paper's single-task baseline.

    Args:
        num_classes: channels of the segmentation output.
        tasks: 'segmentation' and 'depth', or one of them.
        shared_features: whether the refining network sees the features network's output.
        width: factor on all channels but those of the refining network.

    Raises:
        NetworkError: for tasks that it does not support.
    """

    TASKS = ('segmentation', 'depth')
    ENCODER_START = IMAGENET

    def __init__(
        self,
        num_classes: int,
        tasks: Sequence[str] = ('segmentation', 'depth'),
        shared_features: bool = True,
        width: float = 1.0,
    ) -> None:
        super().__init__(num_classes, tasks)
        self.encoder = FeaturesNetwork(width) if 'segmentation' in tasks or shared_features else None
        shared = self.encoder.channels if shared_features else 0
        if 'segmentation' in tasks:
            self.upsampling = UpsamplingNetwork(self.encoder.channels, num_classes, width)
        if 'depth' in tasks:
            self.global_depth = GlobalDepthNetwork(width)
            self.refining = RefiningNetwork(shared)

    def group_of(self, name: str) -> str:
        """'encoder' is the features network, 'segmentation' the upsampling one, 'depth' the two depth networks."""
        return _GROUPS[name.partition('.')[0]]

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run the network.

        Args:
            image: float32 N,3,H,W, RGB, ImageNet-normalised; any H and W.

        Returns:
            Raw outputs: `segmentation` N,C,H/8,W/8 logits; `depth` N,1,H/4,W/4 signed metres; all sizes rounded up.
        """
        features = None if self.encoder is None else self.encoder(image)
        parts = {
            'segmentation': lambda: self.upsampling(features),
            'depth': lambda: self.refining(image, self.global_depth(image), features),
        }
        return {task: parts[task]() for task in self.tasks}


_GROUPS = {'encoder': ENCODER, 'upsampling': 'segmentation', 'global_depth': 'depth', 'refining': 'depth'}


class FeaturesNetwork(nn.Module):
    """VGG-16 in DeepLab's form: 3x3 pooling, of stride 1 behind stages 4 and 5; stage 5 dilated by 2.

    Args:
        width: factor on all channels.

    Attributes:
        channels: of the features, C.
    """

    IMAGENET = VGG16Encoder.IMAGENET

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.vgg = VGG16Encoder(dilations=(1, 1, 1, 1, 2), width=width)
        self.channels = self.vgg.channels[-1]

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map N,3,H,W to N,C,H/8,W/8."""
        x = image
        for number, stage in enumerate(self.vgg.stages, start=1):
            x = functional.max_pool2d(stage(x), kernel_size=3, stride=2 if number <= 3 else 1, padding=1)
        return x

    def load_torchvision(self, state_dict: Mapping[str, torch.Tensor]) -> None:
        """Load ImageNet weights, as `VGG16Encoder` does; raises ValueError if they do not fit."""
        self.vgg.load_torchvision(state_dict)


class UpsamplingNetwork(nn.Module):
    """ASPP-L: four branches, each a dilated 3x3 and two 1x1 convolutions, whose class scores are summed.

    Args:
        in_channels: of the features.
        num_classes: channels of the output.
        width: factor on the channels between.
    """

    def __init__(self, in_channels: int, num_classes: int, width: float = 1.0) -> None:
        super().__init__()
        (middle,) = scaled([ASPP_CHANNELS], width)
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(in_channels, middle, 3, padding=rate, dilation=rate),
                nn.ReLU(inplace=True),
                nn.Dropout(0.5),
                nn.Conv2d(middle, middle, 1),
                nn.ReLU(inplace=True),
                nn.Dropout(0.5),
                nn.Conv2d(middle, num_classes, 1),
            )
            for rate in ASPP_RATES
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map N,C,h,w to logits N,C,h,w."""
        return sum(branch(features) for branch in self.branches)


class GlobalDepthNetwork(nn.Module):
    """Eigen et al.'s coarse network: AlexNet's convolutions, two fully connected layers, a coarse map of depth.

    The fully connected layers fix its input size: images are brought to `GLOBAL_SIZE`.

    Args:
        width: factor on all channels.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c96, c256, c384, connected = scaled((96, 256, 384, 4096), width)
        self.convolutions = nn.Sequential(
            *_convolution(3, c96, 11, stride=4),
            nn.MaxPool2d(2),
            *_convolution(c96, c256, 5),
            nn.MaxPool2d(2),
            *_convolution(c256, c384, 3),
            *_convolution(c384, c384, 3),
            *_convolution(c384, c256, 3),
            nn.MaxPool2d(2),
        )
        rows, columns = (-(-size // 4) // 8 for size in GLOBAL_SIZE)
        self.connected = nn.Sequential(
            nn.Linear(c256 * rows * columns, connected),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Linear(connected, COARSE_SIZE[0] * COARSE_SIZE[1]),
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map N,3,H,W to the coarse depth N,1,55,74, signed metres."""
        x = functional.interpolate(image, size=GLOBAL_SIZE, mode='bilinear', align_corners=False)
        return self.connected(self.convolutions(x).flatten(1)).unflatten(1, (1, *COARSE_SIZE))


class RefiningNetwork(nn.Module):
    """Eigen et al.'s fine network over the image, the global depth and, in HybridNet, the shared features.

    Args:
        shared: channels of the shared features; 0: it does not see them.
    """

    def __init__(self, shared: int) -> None:
        super().__init__()
        self.image = nn.Sequential(*_convolution(3, FINE_CHANNELS, 9, stride=2), nn.MaxPool2d(2, ceil_mode=True))
        self.refine = nn.Sequential(*_convolution(FINE_CHANNELS + 1 + shared, 64, 5), nn.Conv2d(64, 1, 5, padding=2))
        self.sees_features = shared > 0

    def forward(self, image: torch.Tensor, global_depth: torch.Tensor, features: torch.Tensor | None) -> torch.Tensor:
        """Map the image N,3,H,W, the global depth N,1,h,w and the features N,C,H/8,W/8 to N,1,H/4,W/4."""
        x = self.image(image)
        seen = [x, upsample_like(global_depth, x)]
        if self.sees_features:
            seen.append(upsample_like(features, x))
        return self.refine(torch.cat(seen, dim=1))


def _convolution(in_channels: int, out_channels: int, size: int, stride: int = 1) -> list[nn.Module]:
    """A padded convolution and ReLU."""
    return [nn.Conv2d(in_channels, out_channels, size, stride, size // 2), nn.ReLU(inplace=True)]

# SPDX-License-Identifier: Apache-2.0
"""MTL_SPP and MTL_SSW (Luo and Ye, 'Study of Multi-task Learning with Joint Semantic Segmentation and Depth
Estimation'), with every row of their tables 3 to 5 as options of one network.

What the paper states: a shared ResNet-50; task-specific sub-networks made of squeeze-and-excitation (SE) along its
stages; heads with (atrous) pyramid pooling; selective weights (SW), a trainable matrix by which each task's features
become a weighted sum of its own and the other's. Its parameter counts, which are in units of 2^20, tell more: the
backbone is torchvision's without classifier (22.42), an ASPP head is torchvision's DeepLabHead (15.38), a pyramid
pooling head is 22.02. How the parts are joined is our reading; it gives every count within 2 %.
"""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from mtperception.networks.layers import upsample_like
from mtperception.networks.network import Network, NetworkError
from mtperception.networks.pretrained import IMAGENET
from mtperception.networks.resnet50 import STRIDES, ResNet50Encoder, bottleneck

SE_REDUCTION = 16
"""Reduction ratio of squeeze-and-excitation (Hu et al., CVPR 2018, section 6.1)."""
LEAST_SQUEEZED = 8
"""Channels between: with one or two, a ReLU can cut a thin network off."""
POOLED_SIZES = (1, 2, 3, 6)
"""Sizes of the maps of pyramid pooling (Zhao et al., CVPR 2017, section 3.2)."""
HEADS = ('aspp', 'pyramid')
SUBNETWORKS = ('none', 'se_last', 'se', 'residual')


class MTL(Network):
    """A shared ResNet-50 of stride 8, a sub-network and a head for each task.

    Args:
        num_classes: channels of the segmentation output.
        tasks: 'segmentation' and 'depth', or one of them.
        subnetwork: 'none': heads read the shared features; 'se_last': each task excites the channels of the last
            stage (MTL_SE); 'se': each task excites those of every stage and carries what it has from stage to stage;
            'residual': as 'se', but a residual block takes the place of each excitation (MTL_SW+PP, which has no SE).
        head: 'aspp' or 'pyramid'.
        selective_weights: whether the tasks' features are mixed at each stage (MTL_SSW); it needs both tasks.
        own_weight: how much of its own features a task starts with, 0..1; the rest is the other's (table 5).
        width: factor on the channels of the backbone and of what follows them.

    Raises:
        NetworkError: for tasks or options that it does not support, or selective weights without both tasks and
            sub-networks.
    """

    TASKS = ('segmentation', 'depth')
    ENCODER_START = IMAGENET

    def __init__(
        self,
        num_classes: int,
        tasks: Sequence[str] = ('segmentation', 'depth'),
        subnetwork: str = 'se',
        head: str = 'pyramid',
        selective_weights: bool = False,
        own_weight: float = 0.9,
        width: float = 1.0,
    ) -> None:
        super().__init__(num_classes, tasks)
        _check(tasks, subnetwork, head, selective_weights)
        self.encoder = ResNet50Encoder(width)
        channels = self.encoder.channels
        self.subnetworks = nn.ModuleDict(
            {task: TaskSubnetwork(subnetwork, channels) for task in tasks if subnetwork != 'none'}
        )
        self.mixers = nn.ModuleList(
            SelectiveWeights(count, tuple(tasks), own_weight) for count in channels if selective_weights
        )
        make = {'aspp': _aspp_head, 'pyramid': PyramidPoolingHead}[head]
        self.heads = nn.ModuleDict({task: make(channels[-1], self.out_channels(task)) for task in tasks})

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run the network.

        Args:
            image: float32 N,3,H,W, RGB, ImageNet-normalised; any H and W.

        Returns:
            Raw head outputs at an eighth of the input size, rounded up: `segmentation` N,C,h,w logits, `depth`
            N,1,h,w signed metres.
        """
        features = self.encoder(image)
        own = dict.fromkeys(self.heads, features[-1])
        if self.subnetworks:
            own = self._task_features(features)
        return {task: head(own[task]) for task, head in self.heads.items()}

    def _task_features(self, features: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
        """What each task has after the last stage, N,C,h,w."""
        carried: dict[str, torch.Tensor | None] = dict.fromkeys(self.subnetworks)
        for stage in range(len(features)):
            for task, subnetwork in self.subnetworks.items():
                carried[task] = subnetwork(stage, features, carried[task])
            if self.mixers:
                carried = self.mixers[stage](carried)
        return carried


class MTLWithSelectiveWeights(MTL):
    """`MTL` for two tasks that cannot do without each other."""

    TOGETHER = ('segmentation', 'depth')


def _aspp_head(channels: int, out_channels: int) -> nn.Module:
    from torchvision.models.segmentation.deeplabv3 import DeepLabHead  # slow to import, and of use here alone

    return DeepLabHead(channels, out_channels)


class TaskSubnetwork(nn.Module):
    """One task's way along the stages of the shared encoder: its own view of each, added to what it carries.

    At stage k the task's features are view(shared) + carry(own features of stage k-1). The view is
    squeeze-and-excitation of the shared features of stage k, or, in 'residual', a bottleneck of those of stage k-1. The
    carry is a bottleneck to the channels and the size of stage k, the same block as ResNet's.

    Args:
        kind: 'se_last', 'se' or 'residual'.
        channels: of the encoder's stages.
    """

    def __init__(self, kind: str, channels: Sequence[int]) -> None:
        super().__init__()
        self.first = len(channels) - 1 if kind == 'se_last' else 0
        """The first stage that the task has features of its own at."""
        self.residual = kind == 'residual'
        steps = [] if self.first else list(zip(channels, channels[1:], STRIDES[1:], strict=False))
        if self.residual:
            self.views = nn.ModuleList(bottleneck(*step) for step in steps)
        else:
            from torchvision.ops import SqueezeExcitation

            self.views = nn.ModuleList(
                SqueezeExcitation(count, max(LEAST_SQUEEZED, count // SE_REDUCTION)) for count in channels[self.first :]
            )
        self.carries = nn.ModuleList(bottleneck(*step) for step in steps)

    def forward(
        self, stage: int, features: Sequence[torch.Tensor], carried: torch.Tensor | None
    ) -> torch.Tensor | None:
        """The task's features after a stage.

        Args:
            stage: 0..3.
            features: of the shared encoder, N,C,h,w each, finest first.
            carried: the task's features after the stage before; None before it has any.

        Returns:
            N,C,h,w of the size of that stage's features; None before the task's first stage.
        """
        if stage < self.first:
            return None
        if self.residual:
            own = self.views[stage - 1](features[stage - 1]) if stage else features[0]
        else:
            own = self.views[stage - self.first](features[stage])
        return own if carried is None else own + self.carries[stage - 1](carried)


class SelectiveWeights(nn.Module):
    """Each task's features become w1 x own + w2 x the other's (section on SW), then pass a residual 1x1 bottleneck.

    The weights are a trainable matrix, one row per task, one pair for each channel (ours: any image size works).
    The bottleneck, which the count asks for, lets a task adapt to what it was given.

    Args:
        channels: of the features.
        tasks: two of them.
        own_weight: initial weight of a task's own features; the other's is 1 - own_weight.
    """

    def __init__(self, channels: int, tasks: tuple[str, ...], own_weight: float) -> None:
        super().__init__()
        self.tasks = tasks
        weights = torch.tensor([[own_weight, 1 - own_weight], [1 - own_weight, own_weight]])
        self.weights = nn.Parameter(weights[:, :, None].repeat(1, 1, channels))
        self.adapt = nn.ModuleDict(
            {
                task: nn.Sequential(
                    nn.Conv2d(channels, channels // 4, 1, bias=False),
                    nn.BatchNorm2d(channels // 4),
                    nn.ReLU(inplace=True),
                    nn.Conv2d(channels // 4, channels, 1, bias=False),
                    nn.BatchNorm2d(channels),
                )
                for task in tasks
            }
        )

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Map the features N,C,h,w of each task to those that it goes on with."""
        stacked = torch.stack([features[task] for task in self.tasks], dim=1)
        mixed = (stacked[:, None] * self.weights[None, :, :, :, None, None]).sum(dim=2)
        return {
            task: functional.relu(mixed[:, index] + self.adapt[task](mixed[:, index]))
            for index, task in enumerate(self.tasks)
        }


class PyramidPoolingHead(nn.Module):
    """Pyramid pooling (Zhao et al., CVPR 2017, figure 3), a 3x3 and a 1x1 convolution.

    Args:
        in_channels: of the features.
        out_channels: of the output.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        width = in_channels // len(POOLED_SIZES)
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(in_channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
            for _ in POOLED_SIZES
        )
        self.fuse = nn.Sequential(
            nn.Conv2d(2 * in_channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        self.predict = nn.Conv2d(width, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N,C,h,w to N,C',h,w."""
        pooled = [
            upsample_like(branch(pool_to(x, size)), x) for size, branch in zip(POOLED_SIZES, self.branches, strict=True)
        ]
        return self.predict(self.fuse(torch.cat([x, *pooled], dim=1)))


def pool_to(x: torch.Tensor, size: int) -> torch.Tensor:
    """Means of N,C,h,w over a grid of `size` x `size` cells: `functional.adaptive_avg_pool2d`, for graphs of any size.

    The exporter has no adaptive pooling whose input size is free; a mean over cells is a product with two matrices.
    """
    rows, columns = (_cells(x.shape[dim], size, x) for dim in (2, 3))
    return rows @ x @ columns.transpose(0, 1)


def _cells(length: int, count: int, like: torch.Tensor) -> torch.Tensor:
    """count,length: row i averages the positions from floor(i length / count) to ceil((i + 1) length / count)."""
    cell = torch.arange(count, device=like.device)[:, None]
    position = torch.arange(length, device=like.device)[None]
    # position >= floor(a / b) means (position + 1) b > a; position < ceil(a / b) means position b < a.
    inside = ((position + 1) * count > cell * length) & (position * count < (cell + 1) * length)
    inside = inside.to(like.dtype)
    return inside / inside.sum(dim=1, keepdim=True)


def _check(tasks: Sequence[str], subnetwork: str, head: str, selective_weights: bool) -> None:
    for what, found, expected in (('subnetwork', subnetwork, SUBNETWORKS), ('head', head, HEADS)):
        if found not in expected:
            raise NetworkError(f'{what} {found}: expected one of {", ".join(expected)}')
    if selective_weights and (len(tasks) != 2 or subnetwork not in ('se', 'residual')):
        raise NetworkError(
            f'selective_weights with tasks {", ".join(tasks)} and subnetwork {subnetwork}: '
            'expected both tasks, and subnetwork se or residual'
        )

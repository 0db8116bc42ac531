# SPDX-License-Identifier: Apache-2.0
"""Multi-Task Light-Weight RefineNet (Nekrasov et al., 'Real-Time Joint Semantic Segmentation and Depth Estimation Using
Asymmetric Annotations', ICRA 2019), section III: the network the node runs."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn import functional

from mtperception.errors import InputError
from mtperception.networks.layers import CRPBlock, upsample_like
from mtperception.networks.mobilenet_v2 import MobileNetV2Encoder
from mtperception.networks.network import Network
from mtperception.networks.pretrained import IMAGENET
from mtperception.networks.published_layout import PublishedLayout
from mtperception.tasks import DEPTH, DEPTH_CONFIDENCE, TASKS

DECODER_CHANNELS = 256
SKIP_CHANNELS = (24, 32, 64, 96, 160, 320)


class Head(nn.Module):
    """Task-specific part: a depthwise 1x1 convolution, ReLU6 and a 3x3 convolution with bias."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.scale = nn.Conv2d(in_channels, in_channels, 1, groups=in_channels, bias=False)
        self.predict = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N,C,h,w to N,C',h,w."""
        return self.predict(functional.relu6(self.scale(x)))


class JointLWRefineNet(Network):
    """MobileNet-v2 encoder, light-weight RefineNet decoder, one head per task.

    The paper has segmentation, depth and normals. The head of the depth's confidence is ours. No gradient of its
    loss reaches the rest of the network; trained with it, the others have a smaller share of the whole loss.

    Args:
        num_classes: channels of the segmentation head.
        tasks: heads to build, one or more of 'segmentation', 'depth', 'normals' and, with depth, 'depth_confidence'.
        channels: of the decoder.
        depthwise: whether the finest CRP block is depthwise, as in the paper's own network.

    Raises:
        ValueError: for an unknown task.
    """

    TASKS = tuple(TASKS)
    ENCODER_START = IMAGENET

    def __init__(
        self,
        num_classes: int,
        tasks: Sequence[str] = ('segmentation', 'depth'),
        channels: int = DECODER_CHANNELS,
        depthwise: bool = True,
    ) -> None:
        super().__init__(num_classes, tasks)
        self.encoder = MobileNetV2Encoder()
        self.projections = nn.ModuleList(nn.Conv2d(skip, channels, 1, bias=False) for skip in SKIP_CHANNELS)
        self.crp = nn.ModuleList(CRPBlock(channels, depthwise=depthwise and level == 3) for level in range(4))
        self.adapt = nn.ModuleList(nn.Conv2d(channels, channels, 1, bias=False) for _ in range(3))
        own_channels = {DEPTH_CONFIDENCE.name: 1}
        self.heads = nn.ModuleDict(
            {task: Head(channels, own_channels.get(task) or self.out_channels(task)) for task in tasks}
        )
        self._initialise_decoder()

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Run the network.

        Args:
            image: float32 N,3,H,W, RGB, ImageNet-normalised; any H and W.

        Returns:
            Raw head outputs at a quarter of the input size, rounded up: `segmentation` N,C,h,w logits, `depth` N,1,h,w
            signed metres, `normals` N,3,h,w not normalised, `depth_confidence` N,2,h,w (see `Network`).
        """
        _, *features = self.encoder(image)
        c24, c32, c64, c96, c160, c320 = (conv(x) for conv, x in zip(self.projections, features, strict=True))
        x = self.crp[0](functional.relu6(c320 + c160))
        x = self.crp[1](functional.relu6(c96 + c64 + upsample_like(self.adapt[0](x), c64)))
        x = self.crp[2](functional.relu6(c32 + upsample_like(self.adapt[1](x), c32)))
        x = self.crp[3](functional.relu6(c24 + upsample_like(self.adapt[2](x), c24)))
        outputs = {task: head(x) for task, head in self.heads.items() if task != DEPTH_CONFIDENCE.name}
        if DEPTH_CONFIDENCE.name in self.heads:
            error_scale = self.heads[DEPTH_CONFIDENCE.name](x.detach())
            outputs[DEPTH_CONFIDENCE.name] = torch.cat([error_scale, outputs[DEPTH.name].detach()], dim=1)
        return outputs

    def _initialise_decoder(self) -> None:
        """Half of Kaiming's gain: the published N(0, 0.01) barely learns, the full gain saturates ReLU6."""
        decoder = nn.ModuleList([self.projections, self.crp, self.adapt, self.heads])
        for module in decoder.modules():
            if isinstance(module, nn.Conv2d):
                fan_in = module.weight[0].numel()
                nn.init.normal_(module.weight, std=0.5 / fan_in**0.5)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)


def read_published(state_dict: Mapping[str, torch.Tensor]) -> PublishedLayout:
    """Rename the tensors of a published multi-task-refinenet checkpoint; tasks and class count are read from the heads.

    Its normals are x, z, y (the authors' notebook ExpNYUD_three draws them so); here they become x, y, z.

    Raises:
        ValueError: for a key that the published layout does not have, or without any head.
    """
    renamed = {_renamed(key): value for key, value in state_dict.items()}
    for name in ('heads.normals.predict.weight', 'heads.normals.predict.bias'):
        if name in renamed and renamed[name].shape[:1] == (3,):  # of other shapes, loading says that they do not fit
            renamed[name] = renamed[name][[0, 2, 1]]
    predictors = {task: renamed.get(f'heads.{task}.predict.weight') for task in _PUBLISHED_TASKS.values()}
    tasks = tuple(task for task, weight in predictors.items() if weight is not None)
    if not tasks:
        raise InputError(
            f'no head among {", ".join(_PUBLISHED_TASKS)}: not a published multi-task-refinenet checkpoint'
        )
    num_classes = len(predictors['segmentation']) if 'segmentation' in tasks else 0
    return PublishedLayout(renamed, num_classes, tasks)


_PUBLISHED_TASKS = {'segm': 'segmentation', 'depth': 'depth', 'normal': 'normals'}
_PUBLISHED_RULES = (
    (r'layer1\.(.+)', lambda m: f'encoder.stem.{m[1]}'),
    (
        r'layer([2-8])\.(\d)\.output\.([012])\.(.+)',
        lambda m: f'encoder.stages.{int(m[1]) - 2}.{m[2]}.{("expand", "depthwise", "project")[int(m[3])]}.{m[4]}',
    ),
    (r'conv([3-8])\.(weight)', lambda m: f'projections.{int(m[1]) - 3}.{m[2]}'),
    (
        r'crp([1-4])\.0\.([1-4])_outvar_dimred\.(weight)',
        lambda m: f'crp.{4 - int(m[1])}.convolutions.{int(m[2]) - 1}.{m[3]}',
    ),
    (r'conv_adapt([2-4])\.(weight)', lambda m: f'adapt.{4 - int(m[1])}.{m[2]}'),
    (r'pre_(segm|depth|normal)\.(weight)', lambda m: f'heads.{_PUBLISHED_TASKS[m[1]]}.scale.{m[2]}'),
    (r'(segm|depth|normal)\.(weight|bias)', lambda m: f'heads.{_PUBLISHED_TASKS[m[1]]}.predict.{m[2]}'),
)


def _renamed(key: str) -> str:
    """Our name of the published parameter `key`; raises ValueError for an unknown one."""
    for pattern, rename in _PUBLISHED_RULES:
        match = re.fullmatch(pattern, key.removeprefix('module.'))
        if match:
            return rename(match)
    raise InputError(f'unexpected key {key!r}: not a published multi-task-refinenet checkpoint')

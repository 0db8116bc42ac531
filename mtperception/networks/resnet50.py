"""ResNet-50 as an encoder (He et al., CVPR 2016): torchvision's, dilated to stride 8 as in DeepLab v3."""

from collections.abc import Mapping

import torch
from torch import nn
from torchvision.models import resnet50

from mtperception.errors import InputError

CHANNELS = (256, 512, 1024, 2048)
"""Of the four stages."""
STRIDE = 8
"""Of the last three stages; the first has 4."""


class ResNet50Encoder(nn.Module):
    """The stem and the four stages; in the last two, dilation takes the place of stride (DeepLab v3, section 3.1)."""

    IMAGENET = 'ResNet50_Weights.IMAGENET1K_V1'
    """torchvision's name of the weights that `load_torchvision` is for."""

    def __init__(self) -> None:
        super().__init__()
        network = resnet50(replace_stride_with_dilation=[False, True, True])
        self.stem = nn.Sequential(network.conv1, network.bn1, network.relu, network.maxpool)
        self.stages = nn.ModuleList([network.layer1, network.layer2, network.layer3, network.layer4])

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
            ValueError: if a weight is missing from `state_dict` or has another shape.
        """
        state = self.state_dict()
        for key, value in state.items():
            source = _torchvision_key(key)
            if key.endswith('num_batches_tracked'):
                continue
            if source not in state_dict or state_dict[source].shape != value.shape:
                raise InputError(f"not ResNet-50 in torchvision's layout: no {source} {tuple(value.shape)}")
            state[key] = state_dict[source].to(value.dtype)
        self.load_state_dict(state)


def _torchvision_key(key: str) -> str:
    """Name in torchvision's layout of the encoder parameter `key`."""
    part, number, rest = key.split('.', 2)
    return f'{("conv1", "bn1")[int(number)]}.{rest}' if part == 'stem' else f'layer{int(number) + 1}.{rest}'

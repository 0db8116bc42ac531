# SPDX-License-Identifier: Apache-2.0
"""The same function in operations that runtimes do faster: what an exported graph is made of, and PyTorch runs."""

from collections.abc import Callable
from copy import deepcopy
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mtperception.networks.layers import CRPBlock

FEW_CHANNELS = 4
"""A convolution to no more than this fills little of a vector register of 8 or 16 outputs."""


def for_export(network: nn.Module) -> nn.Module:
    """A copy of a network, as graphs are made of it: equal up to rounding; the network itself is kept.

    Chained residual pooling becomes separable, 3x3 convolutions to a few channels become 1x1 convolutions whose results
    are shifted and added, depthwise 1x1 convolutions become products. Training and checkpoints never see this form.

    Batch norm is folded and activations make new tensors, which changes nothing in the graph: the exporter does the
    same, but takes twice the time for it.
    """
    network = _replaced(fold_batch_norm(network), _faster_in_a_graph)
    for module in network.modules():
        if getattr(module, 'inplace', False):
            module.inplace = False
    return network


def for_eager(network: nn.Module) -> nn.Module:
    """A copy of a network, in evaluation mode, as PyTorch runs it: equal up to rounding; the network itself is kept.

    Batch norm is folded, depthwise 1x1 convolutions become products. What else makes graphs faster makes PyTorch, which
    runs one operation after the other, slower.
    """
    return _replaced(fold_batch_norm(network), _scale)


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """A copy of a network, in evaluation mode, whose convolutions do what the batch norm behind them did.

    Equal up to rounding. Folded is a batch norm that follows a convolution in an `nn.Sequential`, as in `conv_bn`;
    others stay, which the ONNX exporter folds by itself where it can.
    """
    network = deepcopy(network).eval()
    for parent in list(network.modules()):
        if not isinstance(parent, nn.Sequential):
            continue
        for (name, module), (following, norm) in pairwise(list(parent.named_children())):
            if isinstance(module, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d) and norm.track_running_stats:
                setattr(parent, name, fuse_conv_bn_eval(module, norm))
                setattr(parent, following, nn.Identity())
    return network


def _replaced(network: nn.Module, other: Callable[[nn.Module], nn.Module | None]) -> nn.Module:
    """A copy of a network with the modules for which `other` has one put in their place."""
    network = deepcopy(network)
    for name, module in list(network.named_modules()):
        replacement = other(module)
        if replacement is not None:
            # `Module.set_submodule` is newer than the oldest PyTorch in use.
            parent, _, child = name.rpartition('.')
            setattr(network.get_submodule(parent), child, replacement)
    return network


def _faster_in_a_graph(module: nn.Module) -> nn.Module | None:
    if isinstance(module, CRPBlock):
        return SeparableCRPBlock(module)
    if isinstance(module, nn.Conv2d) and _is_thin(module):
        return ShiftedConvolution(module)
    return _scale(module)


def _scale(module: nn.Module) -> nn.Module | None:
    """The factors of a depthwise 1x1 convolution without bias."""
    plain = isinstance(module, nn.Conv2d) and module.bias is None and module.in_channels == module.out_channels
    if plain and module.groups == module.in_channels and _geometry(module) == ((1, 1), (1, 1), (0, 0), (1, 1)):
        return ChannelScale(module)
    return None


def _geometry(convolution: nn.Conv2d) -> tuple:
    return convolution.kernel_size, convolution.stride, convolution.padding, convolution.dilation


def _is_thin(convolution: nn.Conv2d) -> bool:
    """Whether it is a plain 3x3 convolution to a few channels."""
    return (
        _geometry(convolution) == ((3, 3), (1, 1), (1, 1), (1, 1))
        and (convolution.groups, convolution.padding_mode) == (1, 'zeros')
        and convolution.out_channels <= FEW_CHANNELS < convolution.in_channels
    )


class SeparableCRPBlock(nn.Module):
    """`CRPBlock`: the maximum of 5x5 is one of 5 rows of maxima of 5, so 10 comparisons do the work of 25."""

    def __init__(self, block: CRPBlock) -> None:
        super().__init__()
        self.convolutions = block.convolutions

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N,C,H,W to N,C,H,W."""
        stage, stages = x, []
        for convolution in self.convolutions:
            columns = functional.max_pool2d(stage, (5, 1), stride=1, padding=(2, 0))
            stage = convolution(functional.max_pool2d(columns, (1, 5), stride=1, padding=(0, 2)))
            stages.append(stage)
        # The input comes last: ONNX Runtime has it in another memory layout, and would bring each term to that one.
        return sum(stages[1:], start=stages[0]) + x


class ShiftedConvolution(nn.Module):
    """A 3x3 convolution, padded by 1, from many channels to a few: a 1x1 convolution for all its taps, then their sum.

    Vector registers hold the outputs of a convolution, 16 at a time: 9 taps in one go cost what a single output does.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        channels, depth = convolution.weight.shape[:2]
        biased = convolution.bias is not None
        self.taps = nn.Conv2d(depth, 9 * channels, 1, bias=False)
        self.shifts = nn.Conv2d(9 * channels, channels, 3, padding=1, groups=channels, bias=biased)
        with torch.no_grad():
            self.taps.weight.copy_(convolution.weight.permute(0, 2, 3, 1).reshape(9 * channels, depth, 1, 1))
            # Tap k of the nine is read at the k-th place of the window.
            self.shifts.weight.copy_(torch.eye(9).reshape(1, 9, 3, 3).expand(channels, -1, -1, -1))
            if biased:
                self.shifts.bias.copy_(convolution.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N,C,H,W to N,C',H,W."""
        return self.shifts(self.taps(x))


class ChannelScale(nn.Module):
    """A depthwise 1x1 convolution, which is a factor for each channel, as a product.

    Runtimes fuse products with what is around them; a convolution is a pass of its own over the whole map.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.factors = nn.Parameter(convolution.weight.detach().reshape(-1, 1, 1).clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N,C,H,W to N,C,H,W."""
        return x * self.factors

# SPDX-License-Identifier: Apache-2.0
"""Weights that 16 bits hold exactly, so that a model's files need half the space and nothing else changes.

A graph has its batch norms folded into the convolutions: weights that were rounded before would not be round after.
So they are folded here first, the products are rounded, and the batch norms are left with the bias alone.
"""

from collections.abc import Mapping
from copy import deepcopy
from itertools import pairwise

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

LARGEST = torch.finfo(torch.float16).max
LARGEST_EPS = 1e-2
"""No batch norm has a larger one; a variance that is smaller than 1 by so little was written by `_move_scale`."""


def round_weights(network: nn.Module) -> nn.Module:
    """A copy of a network in evaluation mode, with the weights of its layers rounded to float16; still in float32.

    Biases and the batch norms that follow no convolution directly keep their values. Names and shapes stay.
    """
    network = deepcopy(network).eval()
    for parent in list(network.modules()):
        if isinstance(parent, nn.Sequential):
            for module, norm in pairwise(parent):
                if isinstance(module, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    _move_scale(module, norm)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            module.weight.data = rounded(module.weight.data)
    return network


def rounded(values: torch.Tensor) -> torch.Tensor:
    """The nearest numbers of float16, as float32; values that are too large for it stay as they are."""
    return values.half().float() if values.abs().max() <= LARGEST else values


def fits(values: torch.Tensor) -> bool:
    """Whether these are float32 values that float16 holds exactly."""
    return values.dtype == torch.float32 and bool((values.half().float() == values).all())


def scales_are_moved(weights: Mapping[str, torch.Tensor]) -> bool:
    """Whether weights are those of `round_weights`, whose batch norms only do in evaluation what they did before.

    Most batch norms are neutral then. In other weights a few may be: published encoders have such where their own
    network has no layer.
    """
    norms = [name.removesuffix('var') for name in weights if name.endswith('running_var')]
    neutral = [name for name in norms if _is_neutral(weights[f'{name}mean'], weights[f'{name}var'])]
    return 2 * len(neutral) > len(norms)


def _is_neutral(mean: torch.Tensor, variance: torch.Tensor) -> bool:
    return bool((variance == variance[0]).all() and 0 < 1 - variance[0] <= LARGEST_EPS and not mean.any())


def _move_scale(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    """Let a convolution do all that the batch norm behind it did, except to add the bias."""
    if not norm.affine or not norm.track_running_stats:
        return
    fused = fuse_conv_bn_eval(convolution, norm)
    convolution.weight.data = fused.weight.data
    if convolution.bias is not None:
        convolution.bias.data.zero_()
    norm.bias.data = fused.bias.data
    norm.weight.data.fill_(1.0)
    norm.running_mean.zero_()
    norm.running_var.fill_(1.0 - norm.eps)

# SPDX-License-Identifier: Apache-2.0
"""Bilinear upsampling with half-pixel centres, and the largest class after it without the upsampled class maps.

As `torch.nn.functional.interpolate(..., mode='bilinear', align_corners=False)`, up to rounding, in operations that are
fast in every backend: https://pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html.
"""

from typing import NamedTuple

import torch
from torch.nn import functional

UNSETTLED = 255
"""No class (indices end at 254): a pixel between neighbours of different classes."""

CLASSES_AT_ONCE = 8
"""Upsampled together by `running_argmax`: more take more memory, fewer more steps."""


def interpolate(x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Upsample maps, N,C,h,w, to N,C,H,W, by PyTorch's own operation."""
    return functional.interpolate(x, size=size, mode='bilinear', align_corners=False)


def upsample(x: torch.Tensor, size: tuple[int, int], stride: int = 1) -> torch.Tensor:
    """`interpolate` for a few maps, as products with one matrix for each axis.

    Runtimes interpolate as many channels at once as fit a vector register, and so waste most of it on a single map.

    Args:
        x: N,C,h,w.
        size: H and W.
        stride: of the upsampled maps only every `stride`-th row and column is made, from number stride // 2 on.
    """
    rows, columns = (
        _matrix(target, source, x)[stride // 2 :: stride] for target, source in zip(size, x.shape[2:], strict=True)
    )
    return rows @ x @ columns.T


def upsampled_argmax(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Class of the largest logit after upsampling, N,C,h,w to N,H,W, without upsampling all the logits.

    A bilinear sample is a mean of its four neighbours, so a class that is the largest at all four is the largest
    between them. Only where neighbours differ, at the edges of segments, are the logits themselves interpolated.

    Returns:
        The type of `logits`, whole numbers; of equal logits at all four neighbours the first class.
    """
    _, classes, height, width = logits.shape
    y, x = _samples(size[0], height, logits), _samples(size[1], width, logits)
    labels = _settled(logits).index_select(1, y.first).index_select(2, x.first)
    image, row, column = (labels == UNSETTLED).nonzero().unbind(1)

    pixels = logits.permute(0, 2, 3, 1).reshape(-1, classes)
    above, below = ((image * height + line[row]) * width for line in (y.first, y.second))
    left, right = (line[column] for line in (x.first, x.second))
    across, down = x.weight[column][:, None], y.weight[row][:, None]
    samples = (
        pixels.index_select(0, above + left) * ((1 - across) * (1 - down))
        + pixels.index_select(0, above + right) * (across * (1 - down))
        + pixels.index_select(0, below + left) * ((1 - across) * down)
        + pixels.index_select(0, below + right) * (across * down)
    )
    # Transposed, because OpenVINO's search is a vector operation along the first axis and a slow loop along the last.
    found = samples.T.argmax(dim=0)
    return labels.index_put((image, row, column), found.to(labels.dtype))


def running_argmax(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """`upsampled_argmax` whose steps do not depend on the logits, so that a CUDA graph can hold them.

    Upsamples a few classes at a time and keeps the largest so far; the first class wins a tie.
    """
    best = logits.new_full((logits.shape[0], *size), -torch.inf)
    labels = torch.zeros_like(best, dtype=torch.int64)
    for part, some in enumerate(logits.split(CLASSES_AT_ONCE, dim=1)):
        largest, index = interpolate(some, size).max(dim=1)
        labels = torch.where(largest > best, index + part * CLASSES_AT_ONCE, labels)
        best = torch.maximum(largest, best)
    return labels.to(logits.dtype)


class _Samples(NamedTuple):
    """Where the samples of one axis are taken: between two source positions, at `weight` from the first."""

    first: torch.Tensor
    second: torch.Tensor
    weight: torch.Tensor


def _positions(target: int, source: int, like: torch.Tensor) -> torch.Tensor:
    """Source coordinate of each of `target` samples, 0..source-1."""
    centres = torch.arange(target, dtype=torch.float32, device=like.device) + 0.5
    return (centres * source / target - 0.5).clamp(0, source - 1)


def _samples(target: int, source: int, like: torch.Tensor) -> _Samples:
    positions = _positions(target, source, like)
    first = positions.floor()
    index = first.to(torch.int64)
    return _Samples(index, (index + 1).clamp(max=source - 1), (positions - first).to(like.dtype))


def _matrix(target: int, source: int, like: torch.Tensor) -> torch.Tensor:
    """target,source: the weight of each source position in each sample."""
    distance = _positions(target, source, like)[:, None] - torch.arange(source, device=like.device)
    return (1 - distance.abs()).clamp(min=0).to(like.dtype)


def _settled(logits: torch.Tensor) -> torch.Tensor:
    """N,h,w: the class of the samples between a position and the next in both axes, UNSETTLED where it is not sure."""
    winners = logits.argmax(dim=1).to(logits.dtype)[:, None]
    # Samples beyond the last row or column have it on both sides.
    padded = functional.pad(winners, (0, 1, 0, 1), mode='replicate')
    largest = functional.max_pool2d(padded, 2, stride=1)
    smallest = -functional.max_pool2d(-padded, 2, stride=1)
    return torch.where(largest == smallest, largest, UNSETTLED)[:, 0]

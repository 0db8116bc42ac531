# SPDX-License-Identifier: Apache-2.0
"""Max-pooling that remembers where each maximum was, and its reverse, in operations that every runtime has.

`torch.nn.functional.max_unpool2d` exports to an operator that OpenVINO lacks, and runtimes differ in which of several
equal maxima they remember. Here it is the first of a window, row by row, as PyTorch's pooling has it.
"""

import torch
from torch.nn import functional


def pool_with_positions(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Maxima of 2x2 windows of stride 2.

    Args:
        x: N,C,H,W with even H and W.

    Returns:
        The maxima, N,C,H/2,W/2, and where they were: N,4C,H/2,W/2 of the same type, 1 at the position of each window
        (left to right, then down) that has the maximum, 0 at the other three.
    """
    taps = [x[..., row::2, column::2] for row in range(2) for column in range(2)]
    maximum = torch.maximum(torch.maximum(taps[0], taps[1]), torch.maximum(taps[2], taps[3]))
    free = torch.ones_like(maximum, dtype=torch.bool)
    chosen = []
    for tap in taps[:-1]:
        chosen.append(free & (tap >= maximum))
        free = free & ~chosen[-1]
    positions = torch.stack([*chosen, free], dim=2).flatten(1, 2).to(x.dtype)
    # The maximum by its position: `torch.maximum` would share a gradient among equal taps.
    pooled = sum(torch.where(here, tap, 0) for here, tap in zip([*chosen, free], taps, strict=True))
    return pooled, positions


def unpool(x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
    """Put each value of N,C,h,w where the maximum of its 2x2 window was, and 0 elsewhere: N,C,2h,2w.

    Args:
        x: values.
        positions: of `pool_with_positions`, of the same channels and size.
    """
    return functional.pixel_shuffle(x.repeat_interleave(4, dim=1) * positions, 2)

# SPDX-License-Identifier: Apache-2.0
"""The moving average of a network's weights, which is validated and exported."""

from collections.abc import Callable

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

WARM_UP_STEPS = 20
"""After n steps the next one's decay is at most n / (n + 20), so early weights are soon forgotten."""


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """An average that begins with a network's weights and statistics, in evaluation mode.

    Args:
        network: what is averaged.
        decay: share of the average that a step keeps; 0: it is the network.
    """
    average = AveragedModel(network, multi_avg_fn=_moving(decay), use_buffers=True)
    return average.eval()


def _moving(decay: float) -> Callable[[list[torch.Tensor], list[torch.Tensor], torch.Tensor], None]:
    def update(average: list[torch.Tensor], current: list[torch.Tensor], count: torch.Tensor) -> None:
        kept = min(decay, float(count) / (float(count) + WARM_UP_STEPS))
        if average[0].is_floating_point():
            torch._foreach_lerp_(average, current, 1 - kept)
        else:
            torch._foreach_copy_(average, current)

    return update

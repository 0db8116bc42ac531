# SPDX-License-Identifier: Apache-2.0
"""The end of a run whose numbers are no longer any."""

import math
from collections.abc import Mapping

import torch

from mtperception.errors import MTPerceptionError

ADVICE = (
    'Start a new run from a good checkpoint (start=[FILE] and another --out) with a smaller optimizer.learning_rate, '
    'more optimizer.warm_up_steps, optimizer.clip_norm=1 or precision=fp32'
)


class DivergedError(MTPerceptionError, RuntimeError):
    """Losses, gradients or weights that are not finite: the message says where, and what to try."""


def check_losses(losses: Mapping[str, float]) -> None:
    """Check that losses, by output, are numbers.

    Raises:
        DivergedError: if one is infinite or none.
    """
    wrong = [f'the loss of {output} is {value}' for output, value in losses.items() if not math.isfinite(value)]
    if wrong:
        raise DivergedError(', '.join(wrong))


def check_weights(tensors: Mapping[str, torch.Tensor]) -> None:
    """Check that weights, by name, are numbers.

    Raises:
        DivergedError: if one is infinite or none.
    """
    wrong = [name for name, x in tensors.items() if x.is_floating_point() and not bool(x.isfinite().all())]
    if wrong:
        raise DivergedError(f'{wrong[0]} is not finite, nor are {len(wrong) - 1} more tensors of the network')

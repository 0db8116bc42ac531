# SPDX-License-Identifier: Apache-2.0
"""What a loss is, and the means over the batch of all processes that losses are made of."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch

from mtperception.training.distributed import global_sum


class Loss(ABC):
    """One term of what is minimised."""

    task: str
    """Whose outputs and annotations it compares. Another task whose are alike names such a loss as its own."""

    def prepare(self, class_counts: Callable[[], torch.Tensor]) -> None:  # noqa: B027 - most need nothing
        """Called once before training with a counter of the training set's pixels of each class (float C)."""

    @abstractmethod
    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The scalar loss of a raw output N,C,h,w."""


def mean(total: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Sum over count, both of this process, over all processes; 0 if nothing is counted."""
    return global_sum(total) / global_sum(count.to(total)).clamp(min=1e-9)


def mean_over_images(values: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Mean over the images of all processes, of one value per image, N, of those that are known, bool N."""
    return mean(torch.where(known, values, 0.0).sum(), known.sum())

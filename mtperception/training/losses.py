"""Losses by task: means over the valid pixels of the batch of all processes, 0 where there is none.

Each is called with a head's raw output, N,C,h,w, and a target of the same height and width, and gives a scalar that can
be differentiated even where no pixel is valid.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch.nn import functional

from mtperception.labels import IGNORE_INDEX
from mtperception.training.distributed import global_max, global_sum


class Loss(ABC):
    """One term of what is minimised."""

    def prepare(self, class_counts: Callable[[], torch.Tensor]) -> None:  # noqa: B027 - most need nothing
        """Told, before the first step, how to count the pixels of each class in the training set (float C)."""

    @abstractmethod
    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The scalar loss of a raw output N,C,h,w."""


def _mean(total: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
    """Sum over count, both of this process, over all processes; 0 if nothing is counted."""
    return global_sum(total) / global_sum(count.to(total)).clamp(min=1e-9)


class CrossEntropy(Loss):
    """Softmax cross-entropy.

    Args:
        balance: exponent p of the class weights frequency^-p: 0 counts each pixel the same, 1 each class. They are
            scaled to a mean of 1 over the training set's pixels, then cut at `max_weight`.
        max_weight: largest class weight.
    """

    def __init__(self, balance: float = 0.0, max_weight: float = 8.0) -> None:
        self.balance = balance
        self.max_weight = max_weight
        self.weights: torch.Tensor | None = None

    def prepare(self, class_counts: Callable[[], torch.Tensor]) -> None:
        """Weigh the classes, if they are to be balanced. One that never occurs weighs nothing."""
        if self.balance:
            counts = class_counts().double()
            frequency = counts / counts.sum()
            weights = torch.where(frequency > 0, frequency**-self.balance, 0)
            self.weights = (weights / (weights * frequency).sum()).clamp(max=self.max_weight).float()

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Logits N,C,h,w and labels uint8 N,h,w (255 is left out)."""
        labels = target.long()
        weights = None if self.weights is None else self.weights.to(output.device)
        total = functional.cross_entropy(output.float(), labels, weights, ignore_index=IGNORE_INDEX, reduction='sum')
        valid = labels != IGNORE_INDEX
        return _mean(total, valid.sum() if weights is None else weights[labels[valid]].sum())


def _valid_depth(output: torch.Tensor, depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted and true metres of the valid pixels, flat."""
    valid = depth > 0
    return output[:, 0].float()[valid], depth[valid]


def _count(values: torch.Tensor) -> torch.Tensor:
    """Number of elements."""
    return torch.tensor(float(values.numel()), device=values.device)


class L1(Loss):
    """Mean absolute error, of depth N,1,h,w (signed metres) against N,h,w (0 is left out)."""

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Metres."""
        predicted, true = _valid_depth(output, target)
        return _mean((predicted - true).abs().sum(), _count(true))


class BerHu(Loss):
    """Reverse Huber loss: the absolute error up to c = 0.2 max |error|, beyond it (error^2 + c^2) / 2c.

    Laina et al., 3DV 2016, equation 2; the maximum is over the valid pixels of the whole batch. Depth as for `L1`.

    Args:
        fraction: c in parts of the largest error.
    """

    def __init__(self, fraction: float = 0.2) -> None:
        self.fraction = fraction

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Metres."""
        predicted, true = _valid_depth(output, target)
        error = (predicted - true).abs()
        largest = error.detach().amax() if error.numel() else error.new_zeros(())
        c = (self.fraction * global_max(largest)).clamp(min=1e-9)
        loss = torch.where(error <= c, error, (error**2 + c**2) / (2 * c))
        return _mean(loss.sum(), _count(true))


class ScaleInvariant(Loss):
    """mean(d^2) - invariance mean(d)^2, with d the difference of log depths (Eigen et al., NIPS 2014, equation 4).

    Depth as for `L1`; the means are over all valid pixels of the batch, as the signed output's absolute value.

    Args:
        invariance: 0: plain error of logarithms; 1: a common factor on all depths costs nothing.
    """

    MIN_DEPTH = 1e-3

    def __init__(self, invariance: float = 0.5) -> None:
        self.invariance = invariance

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """No unit."""
        predicted, true = _valid_depth(output, target)
        difference = predicted.abs().clamp(min=self.MIN_DEPTH).log() - true.log()
        count = _count(true)
        return _mean((difference**2).sum(), count) - self.invariance * _mean(difference.sum(), count) ** 2


class DotProduct(Loss):
    """1 - cosine of the angle between normals: the paper's negative dot product (section V-A), plus 1.

    Normals N,3,h,w against unit vectors N,3,h,w (the zero vector is left out).
    """

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """0 (equal) to 2 (opposite)."""
        valid = (target != 0).any(dim=1)
        cosine = (functional.normalize(output.float(), dim=1) * target).sum(dim=1)
        return _mean((1 - cosine)[valid].sum(), valid.sum())


LOSSES: dict[str, type[Loss]] = {
    'cross_entropy': CrossEntropy,
    'berhu': BerHu,
    'l1': L1,
    'scale_invariant': ScaleInvariant,
    'dot_product': DotProduct,
}

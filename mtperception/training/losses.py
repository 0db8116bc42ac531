# SPDX-License-Identifier: Apache-2.0
"""Losses by task: means over the valid pixels of the batch of all processes, 0 where there is none.

Each is called with a head's raw output, N,C,h,w, and a target of the same height and width, and gives a scalar that can
be differentiated even where no pixel is valid.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional

from mtperception.errors import InputError
from mtperception.labels import IGNORE_INDEX
from mtperception.training.distributed import global_max
from mtperception.training.log_depth_losses import GradientMatching, ScaleInvariant, ScaleInvariantGradient, SiLog
from mtperception.training.loss import Loss, mean
from mtperception.training.lovasz import LovaszSoftmax
from mtperception.training.registry import create


class CrossEntropy(Loss):
    """Softmax cross-entropy.

    Args:
        balance: exponent p of the class weights frequency^-p: 0 counts each pixel the same, 1 each class. They are
            scaled to a mean of 1 over the training set's pixels, then cut at `max_weight`.
        max_weight: largest class weight.
    """

    task = 'segmentation'

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
        return mean(total, valid.sum() if weights is None else weights[labels[valid]].sum())


def _valid_depth(output: torch.Tensor, depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Predicted and true metres of the valid pixels, flat."""
    valid = depth > 0
    return output[:, 0].float()[valid], depth[valid]


def _count(values: torch.Tensor) -> torch.Tensor:
    """Number of elements."""
    return torch.tensor(float(values.numel()), device=values.device)


class L1(Loss):
    """Mean absolute error, of depth N,1,h,w (signed metres) against N,h,w (0 is left out)."""

    task = 'depth'

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Metres."""
        predicted, true = _valid_depth(output, target)
        return mean((predicted - true).abs().sum(), _count(true))


class BerHu(Loss):
    """Reverse Huber loss: the absolute error up to c = 0.2 max |error|, beyond it (error^2 + c^2) / 2c.

    Laina et al., 3DV 2016, equation 2; the maximum is over the valid pixels of the whole batch. Depth as for `L1`.

    Args:
        fraction: c in parts of the largest error.
    """

    task = 'depth'

    def __init__(self, fraction: float = 0.2) -> None:
        self.fraction = fraction

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Metres."""
        predicted, true = _valid_depth(output, target)
        error = (predicted - true).abs()
        largest = error.detach().amax() if error.numel() else error.new_zeros(())
        c = (self.fraction * global_max(largest)).clamp(min=1e-9)
        loss = torch.where(error <= c, error, (error**2 + c**2) / (2 * c))
        return mean(loss.sum(), _count(true))


class L2(Loss):
    """Mean square error of depth, as for `L1`: HybridNet's first Euclidean loss (section 4)."""

    task = 'depth'

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Square metres."""
        predicted, true = _valid_depth(output, target)
        return mean(((predicted - true) ** 2).sum(), _count(true))


class NormalizedL2(Loss):
    """Mean square error of depths that are both normalised to mean 0 and variance 1, each image by its valid pixels.

    HybridNet's second Euclidean loss (section 4): it sees the shape of a scene, not its size. Depth as for `L1`.
    """

    task = 'depth'

    EPSILON = 1e-6
    """Added to variances, in square metres: an image may have one depth alone."""

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """No unit."""
        valid = target > 0
        predicted = torch.where(valid, output[:, 0].float(), 0.0)
        error = self._normalized(predicted, valid) - self._normalized(target, valid)
        return mean((error**2).sum(), valid.sum())

    def _normalized(self, depth: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """N,h,w without mean and variance; 0 where invalid, as the depth is there."""
        count = valid.sum(dim=(1, 2), keepdim=True).clamp(min=1)
        centred = torch.where(valid, depth - depth.sum(dim=(1, 2), keepdim=True) / count, 0.0)
        variance = (centred**2).sum(dim=(1, 2), keepdim=True) / count
        return centred / (variance + self.EPSILON).sqrt()


class Laplace(Loss):
    """How badly an expected error explains the error made: |p - t| / b + ln b, with b the expected one.

    It is the negative logarithm of Laplace's density, but for a constant: A. Kendall, Y. Gal, What Uncertainties Do We
    Need in Bayesian Deep Learning for Computer Vision?, NIPS 2017, section 3.1. Raw output N,2,h,w: ln b and the depth
    in signed metres, which is taken as given; targets as for `L1`.
    """

    task = 'depth_confidence'

    LIMIT = 6.0
    """Limit of |ln b|: millimetres to hundreds of metres."""

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """No unit; it can be negative."""
        valid = target > 0
        log_scale, depth = output.float().unbind(dim=1)
        log_scale = log_scale[valid].clamp(-self.LIMIT, self.LIMIT)
        error = (depth.abs()[valid] - target[valid]).abs().detach()
        return mean((error * (-log_scale).exp() + log_scale).sum(), _count(error))


class DotProduct(Loss):
    """1 - cosine of the angle between normals: the paper's negative dot product (section V-A), plus 1.

    Normals N,3,h,w against unit vectors N,3,h,w (the zero vector is left out).
    """

    task = 'normals'

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """0 (equal) to 2 (opposite)."""
        valid = (target != 0).any(dim=1)
        cosine = (functional.normalize(output.float(), dim=1) * target).sum(dim=1)
        return mean((1 - cosine)[valid].sum(), valid.sum())


def _is_term(term: Any) -> bool:
    if not isinstance(term, Mapping) or 'name' not in term or set(term) - {'name', 'options', 'weight'}:
        return False
    return isinstance(term.get('options') or {}, Mapping) and isinstance(term.get('weight', 1.0), int | float)


class Sum(Loss):
    """Several losses of one output, such as HybridNet's two of depth.

    Args:
        terms: each with `name` and, if need be, `options` and `weight` (1 by default), as the configuration has them.

    Raises:
        ValueError: without any, for one that does not exist, or if they are of several tasks.
    """

    def __init__(self, terms: Sequence[Mapping[str, Any]] = ()) -> None:
        wrong = [term for term in terms if not _is_term(term)]
        if wrong or not terms:
            raise InputError(f'terms {wrong or "none"}: expected a list of {{name, options, weight}}')
        self.terms = [
            (float(term.get('weight', 1.0)), create('loss', LOSSES, term['name'], term.get('options') or {}))
            for term in terms
        ]
        tasks = sorted({loss.task for _, loss in self.terms})
        if len(tasks) > 1:
            raise InputError(f'terms of {" and ".join(tasks)}: expected losses of one task')
        self.task = tasks[0]

    def prepare(self, class_counts: Callable[[], torch.Tensor]) -> None:
        """Prepare all of them."""
        for _, loss in self.terms:
            loss.prepare(class_counts)

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The weighted sum."""
        return sum(weight * loss(output, target) for weight, loss in self.terms)


LOSSES: dict[str, type[Loss]] = {
    'cross_entropy': CrossEntropy,
    'lovasz_softmax': LovaszSoftmax,
    'berhu': BerHu,
    'l1': L1,
    'l2': L2,
    'l2_normalized': NormalizedL2,
    'scale_invariant': ScaleInvariant,
    'scale_invariant_gradient': ScaleInvariantGradient,
    'silog': SiLog,
    'gradient_matching': GradientMatching,
    'laplace': Laplace,
    'dot_product': DotProduct,
    'sum': Sum,
}

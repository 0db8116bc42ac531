# SPDX-License-Identifier: Apache-2.0
"""How the losses of several outputs become one."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import nn

from mtperception.errors import InputError
from mtperception.tasks import TASKS

Losses = Mapping[str, torch.Tensor]


class Weighting(nn.Module):
    """Called with the losses, by output, that the batch has annotations for; gives the one to minimise.

    Built with the outputs that have a loss, each with its task.

    What it learns are its parameters; what it remembers are its buffers.
    """

    def end_epoch(self, means: Mapping[str, float]) -> None:
        """Called with the mean loss of each output over the epoch that ended."""


class FixedWeighting(Weighting):
    """sum of weight x loss (Nekrasov et al., ICRA 2019, equation 1, where lambda = 0.5 gives both tasks 0.5).

    Args:
        outputs: those that have a loss, with their tasks.
        weights: by output; equal shares of 1 by default.

    Raises:
        ValueError: unless there is a weight of 0 or more for each output.
    """

    def __init__(self, outputs: Mapping[str, str], weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.weights = dict(weights) if weights else dict.fromkeys(outputs, 1 / len(outputs))
        if set(self.weights) != set(outputs) or min(self.weights.values()) < 0:
            raise InputError(f'loss weights {self.weights}: expected one of 0 or more for each of {", ".join(outputs)}')

    def forward(self, losses: Losses) -> torch.Tensor:
        """Weighted sum."""
        return sum(self.weights[output] * loss for output, loss in losses.items())


class UncertaintyWeighting(Weighting):
    """sum of exp(-s) x loss + s / 2, with s = log variance learnt for each output (Kendall et al., CVPR 2018, section
    3).

    Regression losses are halved, as their likelihood says; segmentation's is not.

    Args:
        outputs: those that have a loss, with their tasks.
    """

    def __init__(self, outputs: Mapping[str, str]) -> None:
        super().__init__()
        self._tasks = dict(outputs)
        self.log_variance = nn.ParameterDict({output: nn.Parameter(torch.zeros(())) for output in outputs})

    def forward(self, losses: Losses) -> torch.Tensor:
        """Sum weighted by the learnt precisions."""
        total = 0
        for output, loss in losses.items():
            share = 1.0 if TASKS[self._tasks[output]].has_classes else 0.5
            log_variance = self.log_variance[output]
            total = total + share * torch.exp(-log_variance) * loss + 0.5 * log_variance
        return total


class DynamicWeightAverage(Weighting):
    """Outputs whose loss falls slowly weigh more (Liu et al., CVPR 2019, equation 7).

    Weights are the softmax, over the outputs, of the ratio of the last two epochs' losses over the temperature, times
    the number of outputs. They are 1 in the first two epochs.

    Args:
        outputs: those that have a loss, with their tasks.
        temperature: the larger, the more alike the weights.
    """

    def __init__(self, outputs: Mapping[str, str], temperature: float = 2.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise InputError(f'temperature {temperature}: expected more than 0')
        self.outputs = tuple(outputs)
        self.temperature = temperature
        self.register_buffer('means', torch.full((2, len(self.outputs)), torch.nan))

    def end_epoch(self, means: Mapping[str, float]) -> None:
        """Keep the means of the last two epochs; an output that had no annotation keeps its last one."""
        last = [means.get(output, float(self.means[1, i])) for i, output in enumerate(self.outputs)]
        self.means.copy_(torch.stack([self.means[1], torch.tensor(last).to(self.means)]))

    def output_weights(self) -> dict[str, float]:
        """The weights of this epoch."""
        ratio = torch.nan_to_num(self.means[1] / self.means[0], nan=1.0, posinf=1.0)
        weights = len(self.outputs) * torch.softmax(ratio / self.temperature, dim=0)
        return dict(zip(self.outputs, weights.tolist(), strict=True))

    def forward(self, losses: Losses) -> torch.Tensor:
        """Weighted sum."""
        weights = self.output_weights()
        return sum(weights[output] * loss for output, loss in losses.items())


class VarianceWeighting(Weighting):
    """Learnt weights, corrected by how much each loss still moves (MT-UNet, equation 5).

    Output i weighs W_i a_i over the sum of these of all outputs with a loss, where W_i is learnt from 1 on, and
    a_i = (v_i(t - 1) + epsilon) / (v_i(t - 2) + epsilon), with v_i(t) the variance of the mean losses of the `window`
    epochs up to t, and t this epoch. a_i is 1 until both variances are of two epochs or more.

    The paper leaves open: the window, epsilon, and how W stays above 0; here it is the exponential of what is learnt.

    Args:
        outputs: those that have a loss, with their tasks.
        window: epochs that a variance is over.
        epsilon: keeps the ratio finite.

    Raises:
        ValueError: for a window below 2, or an epsilon that is not above 0.
    """

    def __init__(self, outputs: Mapping[str, str], window: int = 5, epsilon: float = 1e-6) -> None:
        super().__init__()
        if window < 2 or epsilon <= 0:
            raise InputError(f'window {window} and epsilon {epsilon}: expected 2 or more epochs, and more than 0')
        self.outputs = tuple(outputs)
        self.epsilon = epsilon
        self.log_weight = nn.ParameterDict({output: nn.Parameter(torch.zeros(())) for output in outputs})
        self.register_buffer('means', torch.full((window + 1, len(self.outputs)), torch.nan))

    def end_epoch(self, means: Mapping[str, float]) -> None:
        """Keep the means of the last epochs; of an output that had no annotation none is known."""
        last = torch.tensor([[means.get(output, math.nan) for output in self.outputs]]).to(self.means)
        self.means.copy_(torch.cat([self.means[1:], last]))

    def output_weights(self) -> dict[str, torch.Tensor]:
        """The weight of each output now, 1 in all; differentiable by what is learnt."""
        ratios = (_variance(self.means[1:]) + self.epsilon) / (_variance(self.means[:-1]) + self.epsilon)
        factors = torch.nan_to_num(ratios, nan=1.0)
        raw = {output: self.log_weight[output].exp() * factors[i] for i, output in enumerate(self.outputs)}
        total = sum(raw.values())
        return {output: weight / total for output, weight in raw.items()}

    def forward(self, losses: Losses) -> torch.Tensor:
        """Weighted mean of what the batch has: else the weight of a missing loss would grow without end."""
        weights = self.output_weights()
        total = sum(weights[output] for output in losses)
        return sum(weights[output] / total * loss for output, loss in losses.items())


def _variance(values: torch.Tensor) -> torch.Tensor:
    """Variance of each column of n,K over its known values; NaN for fewer than two."""
    known = values.isfinite()
    count = known.sum(dim=0)
    mean = torch.where(known, values, 0.0).sum(dim=0) / count
    variance = torch.where(known, (values - mean) ** 2, 0.0).sum(dim=0) / count
    return torch.where(count > 1, variance, torch.nan)


WEIGHTINGS: dict[str, Callable[..., Weighting]] = {
    'fixed': FixedWeighting,
    'uncertainty': UncertaintyWeighting,
    'dynamic_weight_average': DynamicWeightAverage,
    'variance': VarianceWeighting,
}

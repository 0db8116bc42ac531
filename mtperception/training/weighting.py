"""How the losses of several outputs become one."""

from collections.abc import Callable, Mapping

import torch
from torch import nn

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
            raise ValueError(f'loss weights {self.weights}: expected one of 0 or more for each of {", ".join(outputs)}')

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
            raise ValueError(f'temperature {temperature}: expected more than 0')
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


WEIGHTINGS: dict[str, Callable[..., Weighting]] = {
    'fixed': FixedWeighting,
    'uncertainty': UncertaintyWeighting,
    'dynamic_weight_average': DynamicWeightAverage,
}

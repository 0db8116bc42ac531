"""How the losses of several tasks become one."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

Losses = Mapping[str, torch.Tensor]


class Weighting(nn.Module):
    """Called with the losses, by task, that the batch has annotations for; gives the one to minimise.

    What it learns are its parameters; what it remembers are its buffers.
    """

    def end_epoch(self, means: Mapping[str, float]) -> None:
        """Told the mean loss of each task over the epoch that ended."""


class FixedWeighting(Weighting):
    """sum of weight x loss (Nekrasov et al., ICRA 2019, equation 1, where lambda = 0.5 gives both tasks 0.5).

    Args:
        tasks: the network's tasks.
        weights: by task; equal shares of 1 by default.

    Raises:
        ValueError: unless there is a weight of 0 or more for each task.
    """

    def __init__(self, tasks: Sequence[str], weights: Mapping[str, float] | None = None) -> None:
        super().__init__()
        self.weights = dict(weights) if weights else dict.fromkeys(tasks, 1 / len(tasks))
        if set(self.weights) != set(tasks) or min(self.weights.values()) < 0:
            raise ValueError(f'loss weights {self.weights}: expected one of 0 or more for each of {", ".join(tasks)}')

    def forward(self, losses: Losses) -> torch.Tensor:
        """Weighted sum."""
        return sum(self.weights[task] * loss for task, loss in losses.items())


class UncertaintyWeighting(Weighting):
    """sum of exp(-s) x loss + s / 2, with s = log variance learnt for each task (Kendall et al., CVPR 2018, section 3).

    Regression losses are halved, as their likelihood says; segmentation's is not.

    Args:
        tasks: the network's tasks.
    """

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        self.log_variance = nn.ParameterDict({task: nn.Parameter(torch.zeros(())) for task in tasks})

    def forward(self, losses: Losses) -> torch.Tensor:
        """Sum weighted by the learnt precisions."""
        total = 0
        for task, loss in losses.items():
            share = 1.0 if task == 'segmentation' else 0.5
            log_variance = self.log_variance[task]
            total = total + share * torch.exp(-log_variance) * loss + 0.5 * log_variance
        return total


class DynamicWeightAverage(Weighting):
    """Tasks whose loss falls slowly weigh more (Liu et al., CVPR 2019, equation 7).

    Weights are the softmax, over the tasks, of the ratio of the last two epochs' losses over the temperature, times the
    number of tasks. They are 1 in the first two epochs.

    Args:
        tasks: the network's tasks.
        temperature: the larger, the more alike the weights.
    """

    def __init__(self, tasks: Sequence[str], temperature: float = 2.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f'temperature {temperature}: expected more than 0')
        self.tasks = tuple(tasks)
        self.temperature = temperature
        self.register_buffer('means', torch.full((2, len(self.tasks)), torch.nan))

    def end_epoch(self, means: Mapping[str, float]) -> None:
        """Keep the means of the last two epochs; a task that had no annotation keeps its last one."""
        last = [means.get(task, float(self.means[1, i])) for i, task in enumerate(self.tasks)]
        self.means.copy_(torch.stack([self.means[1], torch.tensor(last).to(self.means)]))

    def task_weights(self) -> dict[str, float]:
        """The weights of this epoch."""
        ratio = torch.nan_to_num(self.means[1] / self.means[0], nan=1.0, posinf=1.0)
        weights = len(self.tasks) * torch.softmax(ratio / self.temperature, dim=0)
        return dict(zip(self.tasks, weights.tolist(), strict=True))

    def forward(self, losses: Losses) -> torch.Tensor:
        """Weighted sum."""
        weights = self.task_weights()
        return sum(weights[task] * loss for task, loss in losses.items())


WEIGHTINGS: dict[str, Callable[..., Weighting]] = {
    'fixed': FixedWeighting,
    'uncertainty': UncertaintyWeighting,
    'dynamic_weight_average': DynamicWeightAverage,
}

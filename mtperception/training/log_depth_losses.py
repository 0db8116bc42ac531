# SPDX-License-Identifier: Apache-2.0
"""Losses of logarithms of depth: N,1,h,w (signed, metres; its absolute value counts) against N,h,w (0 is left out)."""

import torch

from mtperception.errors import InputError
from mtperception.training.loss import Loss, mean, mean_over_images

MIN_DEPTH = 1e-3
"""Predictions nearer than this, in metres, count as this far."""


def log_difference(output: torch.Tensor, depth: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Difference of the logarithms of a prediction and the truth, float32 N,h,w, 0 where there is none; where there
    is."""
    valid = depth > 0
    predicted = torch.where(valid, output[:, 0].float().abs(), 1.0).clamp(min=MIN_DEPTH)
    return predicted.log() - torch.where(valid, depth, 1.0).log(), valid


class ScaleInvariant(Loss):
    """mean(d^2) - invariance mean(d)^2, with d the difference of log depths (Eigen et al., NIPS 2014, equation 4).

    The means are over all valid pixels of the batch.

    Args:
        invariance: 0: plain error of logarithms; 1: a common factor on all depths costs nothing.
    """

    task = 'depth'

    def __init__(self, invariance: float = 0.5) -> None:
        self.invariance = invariance

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """No unit."""
        difference, valid = log_difference(output, target)
        count = valid.sum()
        return mean((difference**2).sum(), count) - self.invariance * mean(difference.sum(), count) ** 2


class SiLog(ScaleInvariant):
    """factor x the root of the scale-invariant error (Lee et al., 'From Big to Small', 2019, equation 4).

    Its gradient does not fade as the error falls.

    Args:
        invariance: as for `ScaleInvariant`.
        factor: on all of it.
    """

    SMALLEST = 1e-8
    """Smallest argument of the root, whose slope is infinite at 0."""

    def __init__(self, invariance: float = 0.85, factor: float = 10.0) -> None:
        super().__init__(invariance)
        self.factor = factor

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """No unit."""
        error = super().__call__(output, target)
        root = error.clamp(min=self.SMALLEST).sqrt()
        return self.factor * torch.where(error > self.SMALLEST, root, error)


class ScaleInvariantGradient(Loss):
    """Image by image mean(d^2) - invariance mean(d)^2 + gradient x mean((dx d)^2 + (dy d)^2), d as for
    `ScaleInvariant`.

    Eigen and Fergus, ICCV 2015, equation 1; MultitaskNet (Rajvanshi and Kumar), section 3.2.2. Differences dx and dy
    are taken between neighbours that are both valid; n is the number of valid pixels of an image in all three means,
    and the images that have any count the same.

    Args:
        invariance: as for `ScaleInvariant`; 1/2 in both papers.
        gradient: weight of the last term; 1 in both.
    """

    task = 'depth'

    def __init__(self, invariance: float = 0.5, gradient: float = 1.0) -> None:
        self.invariance = invariance
        self.gradient = gradient

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """No unit."""
        difference, valid = log_difference(output, target)
        slopes = sum((step**2).sum(dim=(1, 2)) for step, _ in neighbour_differences(difference, valid))
        known = valid.sum(dim=(1, 2))
        count = known.clamp(min=1)
        square = (difference**2).sum(dim=(1, 2)) / count
        offset = difference.sum(dim=(1, 2)) / count
        return mean_over_images(square - self.invariance * offset**2 + self.gradient * slopes / count, known > 0)


class GradientMatching(Loss):
    """mean(|dx d| + |dy d|) at several scales, added up, d as for `ScaleInvariant`: sharp where the truth is.

    Li and Snavely, 'MegaDepth', CVPR 2018, equation 3. Scale k sees every 2^k-th row and column; differences are taken
    between neighbours that are both valid, and each scale is a mean over these.

    Args:
        scales: their number.
    """

    task = 'depth'

    def __init__(self, scales: int = 4) -> None:
        if scales < 1:
            raise InputError(f'scales {scales}: expected 1 or more')
        self.scales = scales

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """No unit."""
        difference, valid = log_difference(output, target)
        total = output.new_zeros((), dtype=torch.float32)
        for stride in (2**scale for scale in range(self.scales)):
            for step, both in neighbour_differences(difference[:, ::stride, ::stride], valid[:, ::stride, ::stride]):
                total = total + mean(step.abs().sum(), both.sum())
        return total


def neighbour_differences(
    values: torch.Tensor, valid: torch.Tensor
) -> tuple[tuple[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Differences of neighbours in a row and in a column of N,h,w, 0 unless both are valid; and where both are."""
    across, down = valid[:, :, 1:] & valid[:, :, :-1], valid[:, 1:] & valid[:, :-1]
    return (
        (torch.where(across, values[:, :, 1:] - values[:, :, :-1], 0.0), across),
        (torch.where(down, values[:, 1:] - values[:, :-1], 0.0), down),
    )

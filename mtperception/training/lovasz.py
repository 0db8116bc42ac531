# SPDX-License-Identifier: Apache-2.0
"""A loss made of what mean IoU counts.

M. Berman, A. Rannen Triki, M. B. Blaschko, The Lovasz-Softmax loss: a tractable surrogate for the optimization of the
intersection-over-union measure in neural networks, CVPR 2018.
"""

import torch
from torch.nn import functional

from mtperception.errors import InputError
from mtperception.labels import IGNORE_INDEX
from mtperception.training.distributed import global_cat
from mtperception.training.loss import Loss


class LovaszSoftmax(Loss):
    """1 - IoU of each class in the batch, extended to errors between 0 and 1 (equations 8 and 9); their mean.

    Args:
        stride: only every `stride`-th pixel in both directions counts, since the errors of each class are sorted.

    Raises:
        InputError: if `stride` is less than 1.
    """

    task = 'segmentation'

    def __init__(self, stride: int = 1) -> None:
        if stride < 1:
            raise InputError(f'stride: found {stride}, expected 1 or more')
        self._stride = stride

    def __call__(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Logits N,C,h,w and labels uint8 N,h,w (255 is left out)."""
        start, step = self._stride // 2, self._stride
        # IoU is no sum over pixels, so each process needs the pixels of all.
        labels = global_cat(target[:, start::step, start::step])
        logits = output[..., start::step, start::step].float()
        probabilities = global_cat(functional.softmax(logits, dim=1)).movedim(1, 0)
        valid = labels != IGNORE_INDEX
        labels, probabilities = labels[valid].long(), probabilities[:, valid]
        classes = labels.unique()
        belongs = (labels == classes[:, None]).float()
        errors, order = (belongs - probabilities[classes]).abs().sort(dim=1, descending=True)
        losses = (errors * _steps(belongs.gather(1, order))).sum(dim=1)
        return losses.sum() / max(len(classes), 1)


def _steps(belongs: torch.Tensor) -> torch.Tensor:
    """By how much 1 - IoU grows when one pixel more is wrong, in the given order (algorithm 1).

    Args:
        belongs: 1 where a pixel has the class, else 0; float32 classes,pixels.
    """
    wrong = belongs.cumsum(dim=1)
    rank = torch.arange(1, belongs.shape[1] + 1, device=belongs.device)
    intersection = wrong[:, -1:] - wrong
    union = wrong[:, -1:] + rank - wrong
    return (1 - intersection / union).diff(dim=1, prepend=belongs.new_zeros(len(belongs), 1))

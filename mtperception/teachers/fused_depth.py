# SPDX-License-Identifier: Apache-2.0
"""Depth of a model whose shape other networks have a say in.

Networks that have learnt from other images err elsewhere: the mean of their answers is better than each of them. What
none of them knows of a strange camera is the scale. So the model's is kept, and each of the others is fitted to it
first: depth by a factor, disparity (inverse depth up to scale and shift, as MiDaS and Depth Anything give it: R. Ranftl
et al., Towards Robust Monocular Depth Estimation, TPAMI 2022, section 5) by a scale and a shift.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np

from mtperception.teachers.depth_network import DepthNetwork
from mtperception.teachers.teacher import Teacher, TeacherError
from mtperception.types import Intrinsics, Prediction

MODEL_SHARE = 0.2
"""Weight of the model's own answer; the others share the rest. It is the model that is to learn something."""
MAX_RATIO = 1.4
"""Largest ratio of two of the others' answers for a pixel. Where they differ more, at least one is badly wrong."""


class FusedDepthTeacher:
    """A model and depth networks that correct the shape of its depth. Implements `Teacher`.

    Args:
        model: gives depth in metres, and whatever else is wanted.
        depth: networks that give depth, in any unit.
        disparity: networks that give inverse depth, up to a scale and a shift.

    Raises:
        TeacherError: if the model gives no depth.
    """

    def __init__(
        self, model: Teacher, depth: Sequence[DepthNetwork] = (), disparity: Sequence[DepthNetwork] = ()
    ) -> None:
        if 'depth' not in model.tasks:
            raise TeacherError(f'{model.name} has {", ".join(model.tasks)}: expected depth, too')
        self._model = model
        self._others = [(other, fitted_depth) for other in depth] + [(other, fitted_disparity) for other in disparity]
        self.name = f'{model.name} with depth of {" and ".join(other.name for other, _ in self._others)}'
        parts = [model.sha256, *(f'{fit.__name__} {other.sha256}' for other, fit in self._others)]
        self.sha256 = hashlib.sha256(' '.join(parts).encode()).hexdigest()
        self.tasks = model.tasks
        self.label_space = model.label_space
        self.gives_confidence = model.gives_confidence
        self.max_depth = model.max_depth

    def __call__(self, image: np.ndarray, intrinsics: Intrinsics | None) -> Prediction:
        """The model's prediction with the depth of all; no depth where the model has none or the others disagree."""
        prediction = self._model(image, intrinsics)
        own = prediction.measured_depth
        depth = fused(own, [fit(other(image), own) for other, fit in self._others])
        return Prediction(labels=prediction.labels, confidence=prediction.confidence, depth=depth, valid_mask=depth > 0)

    def close(self) -> None:
        """Release the model."""
        self._model.close()


def fitted_depth(answer: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """Depth in any unit, times the factor that makes it as large as another one in the median.

    Args:
        answer: float32 H,W, of any unit; what is not above 0 is no depth.
        depth: float32 H,W, metres; 0 where there is none.

    Returns:
        float32 H,W, metres; 0 where there is none.
    """
    known = np.isfinite(answer) & (answer > 0)
    both = known & (depth > 0)
    if not both.any():
        return np.zeros_like(depth)
    factor = np.median(depth[both] / answer[both])
    return np.where(known, answer * factor, 0).astype(np.float32)


def fitted_disparity(answer: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """The depth of a disparity whose scale and shift fit another depth best: least squares of 1 / depth.

    Args:
        answer: float32 H,W: larger is nearer.
        depth: float32 H,W, metres; 0 where there is none.

    Returns:
        float32 H,W, metres; 0 where there is none: beyond twice the largest `depth`, or everywhere if what is said to
        be nearer is farther.
    """
    known = np.isfinite(answer)
    both = known & (depth > 0)
    if not both.any():
        return np.zeros_like(depth)
    x, y = answer[both].astype(np.float64), 1 / depth[both].astype(np.float64)
    deviation = x - x.mean()
    scale = (deviation * y).sum() / max((deviation**2).sum(), np.finfo(float).tiny)
    inverse = y.mean() + scale * (np.where(known, answer, 0) - x.mean())
    least = 0.5 / depth.max()
    sure = known & (inverse >= least) & (scale > 0)
    return np.where(sure, 1 / np.where(sure, inverse, 1), 0).astype(np.float32)


def fused(own: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """The weighted geometric mean of depths, with the first one's median.

    Args:
        own: float32 H,W, metres; 0 where there is none.
        others: likewise, fitted to it.

    Returns:
        float32 H,W; 0 where one of them has none, or two of the others differ by more than `MAX_RATIO`.
    """
    sure = np.all([own, *others], axis=0)
    logs = np.log(np.where(sure, [own, *others], 1))
    sure &= np.ptp(logs[1:], axis=0) <= math.log(MAX_RATIO)
    if not sure.any():
        return np.zeros_like(own)
    mean = MODEL_SHARE * logs[0] + (1 - MODEL_SHARE) * logs[1:].mean(axis=0)
    mean += np.median((logs[0] - mean)[sure])
    return np.where(sure, np.exp(mean), 0).astype(np.float32)

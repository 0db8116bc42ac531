# SPDX-License-Identifier: Apache-2.0
"""Depth of a model whose shape other networks correct.

Networks that have learnt from other images err elsewhere: the mean of their answers is better than each of them. What
none of them knows of a strange camera is the scale. So the model's is kept, and each of the others is fitted to it
first: depth by a factor, disparity (inverse depth up to scale and shift, as MiDaS and Depth Anything give it) by a
scale and a shift, as R. Ranftl et al. align them (Towards Robust Monocular Depth Estimation, TPAMI 2022, section 5).
Such networks are coarse: where depth jumps, theirs rises slowly. What learns from that draws blurred edges, so it is
left out.
"""

import hashlib
import logging
import math
from collections.abc import Sequence

import cv2
import numpy as np

from mtperception.teachers.depth_network import DepthNetwork
from mtperception.teachers.teacher import Teacher, TeacherError
from mtperception.types import Intrinsics, Prediction

_log = logging.getLogger(__name__)
MODEL_SHARE = 0.2
"""Weight of the model's own answer; the others share the rest. It is the model that is to learn something."""
MAX_RATIO = 1.4
"""Largest ratio of two of the others' answers for a pixel. Where they differ more, at least one is badly wrong."""


BLUR = 1 / 40
"""Parts of the width of an image that coarse networks spread a jump of depth over."""
MAX_CHANGE = 1.1
"""Largest ratio of depths within so much."""


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
            raise TeacherError(
                f'{model.name} gives only {", ".join(model.tasks)}: expected a model with depth for others to correct'
            )
        self._model = model
        self._others = [(other, fitted_depth) for other in depth] + [(other, fitted_disparity) for other in disparity]
        self.name = f'{model.name} with depth of {" and ".join(other.name for other, _ in self._others)}'
        parts = [model.sha256, *(f'{fit.__name__} {other.sha256}' for other, fit in self._others)]
        self.sha256 = hashlib.sha256(' '.join(parts).encode()).hexdigest()
        self._told: set[DepthNetwork] = set()
        self.tasks = model.tasks
        self.label_space = model.label_space
        self.gives_confidence = model.gives_confidence
        self.max_depth = math.inf  # the others may see farther

    def __call__(self, image: np.ndarray, intrinsics: Intrinsics | None) -> Prediction:
        """The model's prediction with the depth of all: none where it jumps, one has none or the others disagree."""
        prediction = self._model(image, intrinsics)
        own = prediction.measured_depth
        fitted = [fit(other(image), own) for other, fit in self._others]
        for (other, _), answer in zip(self._others, fitted, strict=True):
            if own.any() and not answer.any() and other not in self._told:
                self._told.add(other)
                _log.warning(
                    '%s says farther where %s says nearer: no depth for such images: is it depth, or disparity?',
                    other.name,
                    self._model.name,
                )
        depth = without_jumps(fused(own, fitted))
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
        float32 H,W, metres; 0 where there is none, which is everywhere if what is said to be farther is nearer.
    """
    known = np.isfinite(answer) & (answer > 0)
    both = known & (depth > 0)
    if not both.any() or _contradicts(np.log(answer[both]), np.log(depth[both])):
        return np.zeros_like(depth)
    return np.where(known, answer * np.median(depth[both] / answer[both]), 0).astype(np.float32)


def fitted_disparity(answer: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """The depth of a disparity with the scale and shift that give 1 / depth another one's median and mean deviation
    from it.

    Args:
        answer: float32 H,W: larger is nearer.
        depth: float32 H,W, metres; 0 where there is none.

    Returns:
        float32 H,W, metres; 0 where there is none: beyond twice the largest `depth`, or everywhere if what is said to
        be nearer is farther.
    """
    known = np.isfinite(answer)
    both = known & (depth > 0)
    if not both.any() or np.ptp(answer[both]) == 0 or _contradicts(answer[both], 1 / depth[both]):
        return np.zeros_like(depth)
    (shift, scale), (wanted_shift, wanted_scale) = _shift_and_scale(answer[both]), _shift_and_scale(1 / depth[both])
    inverse = wanted_shift + wanted_scale / scale * (np.where(known, answer, shift) - shift)
    sure = known & (inverse >= 0.5 / depth.max())
    return np.where(sure, 1 / np.where(sure, inverse, 1), 0).astype(np.float32)


def _contradicts(said: np.ndarray, own: np.ndarray) -> bool:
    """Whether one answer falls where the other rises."""
    said, own = (values.astype(np.float64) - values.mean(dtype=np.float64) for values in (said, own))
    return bool((said * own).sum() < 0)


def _shift_and_scale(values: np.ndarray) -> tuple[float, float]:
    """Median, and mean deviation from it."""
    median = float(np.median(values))
    return median, float(np.abs(values - median).mean())


def fused(own: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """The weighted geometric mean of depths, with the first one's scale: the median of their ratio is 1.

    Args:
        own: float32 H,W, metres; 0 where there is none.
        others: likewise, fitted to it.

    Returns:
        float32 H,W; 0 where one of them has none or two of the others differ by more than `MAX_RATIO`.
    """
    sure = np.all([own, *others], axis=0)
    logs = np.log(np.where(sure, [own, *others], 1))
    sure &= np.ptp(logs[1:], axis=0) <= math.log(MAX_RATIO)
    if not sure.any():
        return np.zeros_like(own)
    mean = MODEL_SHARE * logs[0] + (1 - MODEL_SHARE) * logs[1:].mean(axis=0)
    mean += np.median((logs[0] - mean)[sure])
    return np.where(sure, np.exp(mean), 0).astype(np.float32)


def without_jumps(depth: np.ndarray) -> np.ndarray:
    """Depth without the places where it changes by more than `MAX_CHANGE` within `BLUR`, and a margin of a quarter.

    Args:
        depth: float32 H,W, metres; 0 where there is none.

    Returns:
        float32 H,W; 0 there too.
    """
    side = round(BLUR * depth.shape[1]) | 1
    window, margin = np.ones((side, side), np.uint8), np.ones((side // 4 * 2 + 1,) * 2, np.uint8)
    farthest = cv2.dilate(depth, window)
    nearest = cv2.erode(np.where(depth > 0, depth, np.inf).astype(np.float32), window)
    jumps = (depth > 0) & (farthest / MAX_CHANGE > nearest)
    return np.where(cv2.dilate(jumps.astype(np.uint8), margin) > 0, 0, depth).astype(np.float32)

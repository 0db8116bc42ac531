# SPDX-License-Identifier: Apache-2.0
"""Metrics by their usual names, summed over a set of images.

Each class is a running sum: `update` with one image after the other, or `merge` with the sum over other images, then
`compute`. Sums are exact (`running_sum`): the parts of a set, merged in any order, give what the whole gives, to the
last bit. Pixels without truth never count, an image without truth changes nothing, and a metric over nothing is NaN.
"""

import math
from collections.abc import Callable

import numpy as np

from mtperception.errors import InputError
from mtperception.evaluation.calibration import CalibrationMetrics
from mtperception.evaluation.depth_confidence import DepthConfidenceMetrics
from mtperception.evaluation.depth_edges import DepthEdgeMetrics
from mtperception.evaluation.running_sum import ExactSum, RunningSum, check_same_shape, quotient
from mtperception.geometry import is_valid
from mtperception.labels import IGNORE_INDEX

SMALLEST_DEPTH = 1e-3
"""Metres. Predictions below it count as this one where a logarithm or a ratio needs a positive number."""
DEPTH_RATIO = 1.25
"""delta1, delta2 and delta3 are the shares of pixels that are wrong by less than this factor to the power 1, 2, 3."""
ANGLES = (11.25, 22.5, 30.0)
"""Degrees: bounds of the shares `within_11_25`, `within_22_5` and `within_30`."""
BINS_PER_DEGREE = 100


class SegmentationMetrics(RunningSum):
    """Agreement of class labels.

    Args:
        num_classes: how many classes there are, from 0 on; at most 254.

    Raises:
        ValueError: for another number of classes.
    """

    def __init__(self, num_classes: int) -> None:
        if not 0 < num_classes < IGNORE_INDEX:
            raise InputError(f'{num_classes} classes: expected 1 to {IGNORE_INDEX - 1}')
        self.num_classes = num_classes
        # The last column counts what was predicted as no class at all.
        self._counts = np.zeros((num_classes, num_classes + 1), np.int64)
        super().__init__(counts=self._counts)

    @property
    def confusion(self) -> np.ndarray:
        """int64 C,C: pixels by true class (row) and predicted class (column).

        A row sums to less than the pixels of its class if some of them were predicted as no class.
        """
        return self._counts[:, :-1].copy()

    @property
    def iou(self) -> np.ndarray:
        """float64 C: intersection over union of each class, 0..1; NaN where neither predicted nor true anywhere."""
        correct = np.diagonal(self._counts)
        union = self._counts.sum(axis=1) + self._counts[:, :-1].sum(axis=0) - correct
        return _ratio(correct, union)

    def update(self, labels: np.ndarray, truth: np.ndarray) -> None:
        """Add an image, or any number of pixels.

        Args:
            labels: uint8, predicted classes. What is no class, such as 255, is wrong whatever the truth.
            truth: uint8, same shape; 255 = unlabelled, not counted.

        Raises:
            ValueError: if the arrays differ in shape or are of another type, or the truth has a class too many.
        """
        check_same_shape(labels, truth)
        if labels.dtype != np.uint8 or truth.dtype != np.uint8:
            raise InputError(f'labels {labels.dtype} and truth {truth.dtype}: expected uint8')
        known = truth != IGNORE_INDEX
        true = truth[known].astype(np.int64)
        if true.size and true.max() >= self.num_classes:
            raise InputError(
                f'class {true.max()} in the truth: expected 0 to {self.num_classes - 1}, or {IGNORE_INDEX} for unknown'
            )
        predicted = np.minimum(labels[known], np.uint8(self.num_classes))
        pairs = true * (self.num_classes + 1) + predicted
        self._counts += np.bincount(pairs, minlength=self._counts.size).reshape(self._counts.shape)

    def compute(self) -> dict[str, float]:
        """Metrics, 0..1.

        Returns:
            miou: mean of `iou` over the classes that occur in prediction or truth.
            pixel_accuracy: share of the labelled pixels that are right.
            mean_accuracy: the same by class, averaged over the classes that occur in the truth.
        """
        correct, total = np.diagonal(self._counts), self._counts.sum(axis=1)
        return {
            'miou': _mean_of_known(self.iou),
            'pixel_accuracy': quotient(correct.sum(), total.sum()),
            'mean_accuracy': _mean_of_known(_ratio(correct, total)),
        }


DEPTH_TERMS = ('squared', 'squared_log', 'log', 'abs_err', 'abs_rel', 'sq_rel', 'delta1', 'delta2', 'delta3')
"""What the metrics of depth are means of."""


def depth_terms(depth: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """float64 9,N: the `DEPTH_TERMS` of each pixel.

    Args:
        depth: float N, predicted metres.
        truth: float N, metres, all valid.

    Raises:
        ValueError: if a prediction is not finite.
    """
    predicted, true = depth.astype(np.float64), truth.astype(np.float64)
    if not np.isfinite(predicted).all():
        raise InputError('the predicted depth is not finite everywhere: expected metres')
    squared = (predicted - true) ** 2
    positive = np.maximum(predicted, SMALLEST_DEPTH)
    log, factor = np.log(positive / true), np.maximum(positive / true, true / positive)
    deltas = (factor < DEPTH_RATIO**power for power in (1, 2, 3))
    error = np.sqrt(squared)
    return np.stack([squared, log**2, log, error, error / true, squared / true, *deltas])


class DepthMetrics(RunningSum):
    """Error of depth, by the definitions of Eigen et al. (NIPS 2014) and of the KITTI depth benchmark (silog).

    Args:
        groups: shape of an array of groups of pixels, each a set of its own; none for a single set.
    """

    def __init__(self, *groups: int) -> None:
        super().__init__(
            pixels=np.zeros(groups, np.int64),
            terms=ExactSum(*groups, len(DEPTH_TERMS)),
            images=np.zeros(groups, np.int64),
            image_terms=ExactSum(*groups, 2),
        )

    @property
    def pixels(self) -> np.ndarray:
        """int64, of the shape of the groups: how many were counted."""
        return self._sums['pixels']

    def update(self, depth: np.ndarray, truth: np.ndarray) -> None:
        """Add one image; only without groups.

        Args:
            depth: float H,W, predicted metres.
            truth: float H,W, metres; what is not `geometry.is_valid` is not counted.

        Raises:
            ValueError: if the arrays differ in shape, or a prediction that counts is not finite.
        """
        check_same_shape(depth, truth)
        counted = is_valid(truth)
        self.add(depth_terms(depth[counted], truth[counted]).sum(axis=1), int(np.count_nonzero(counted)))

    def add(self, sums: np.ndarray, pixels: np.ndarray | int) -> None:
        """Add one image by the sums over its pixels.

        Args:
            sums: float64 ...,9, by group: of the `DEPTH_TERMS`.
            pixels: int, by group: how many there are; 0 changes nothing.
        """
        known = np.asarray(pixels) > 0
        squared, squared_log, log = np.moveaxis(sums[..., :3] / np.maximum(pixels, 1)[..., None], -1, 0)
        deviation = 100 * np.sqrt(np.maximum(squared_log - log**2, 0.0))
        self._sums['terms'] += sums
        self._sums['pixels'] += pixels
        self._sums['image_terms'] += np.stack([np.sqrt(squared), deviation], axis=-1)
        self._sums['images'] += known

    def group(self, *index: int) -> 'DepthMetrics':
        """The sums of one of the groups, or of the groups at the first places of the array, by themselves."""
        chosen = DepthMetrics(*self.pixels[index].shape)
        for name, value in self._sums.items():
            chosen._sums[name] += value[index]
        return chosen

    def compute(self) -> dict[str, float]:
        """Metrics, with p the predicted and t the true depth.

        Returns:
            rmse: square root of the mean of (p - t)^2 over all pixels of the set, metres.
            rmse_per_image: mean over the images of the same, taken by image, metres.
            rmse_log: square root of the mean of (ln p - ln t)^2 over all pixels.
            abs_err: mean of |p - t|, metres.
            abs_rel, sq_rel: mean of |p - t| / t and, in metres, of (p - t)^2 / t.
            delta1, delta2, delta3: share of the pixels with max(p / t, t / p) below 1.25, 1.25^2, 1.25^3.
            silog: mean over the images of 100 times the standard deviation of ln p - ln t, as in KITTI's benchmark:
                no scale of an image's depth changes it.
        """
        totals = zip(DEPTH_TERMS, self._sums['terms'].value, strict=True)
        means = {name: quotient(total, self.pixels) for name, total in totals}
        del means['log']
        rmse_per_image, silog = (quotient(total, self._sums['images']) for total in self._sums['image_terms'].value)
        return {
            'rmse': math.sqrt(means.pop('squared')),
            'rmse_per_image': rmse_per_image,
            'rmse_log': math.sqrt(means.pop('squared_log')),
            **means,
            'silog': silog,
        }


class NormalMetrics(RunningSum):
    """Angle between predicted and true normals, over all pixels of the set."""

    def __init__(self) -> None:
        super().__init__(
            angles=ExactSum(),
            within=np.zeros(len(ANGLES), np.int64),
            histogram=np.zeros(180 * BINS_PER_DEGREE, np.int64),
        )

    def update(self, normals: np.ndarray, truth: np.ndarray) -> None:
        """Add one image.

        Args:
            normals: float H,W,3, predicted unit vectors.
            truth: float H,W,3, unit vectors; 0,0,0 where there is none.

        Raises:
            ValueError: if the arrays differ in shape, or a prediction that counts is not finite.
        """
        check_same_shape(normals, truth)
        counted = truth.any(axis=-1)
        true, predicted = truth[counted].astype(np.float64), normals[counted].astype(np.float64)
        if not np.isfinite(predicted).all():
            raise InputError('the predicted normals are not finite everywhere: expected unit vectors')
        angles = _angles(predicted, true)
        self._sums['angles'] += angles.sum()
        self._sums['within'] += [np.count_nonzero(angles < bound) for bound in ANGLES]
        self._sums['histogram'] += np.histogram(angles, 180 * BINS_PER_DEGREE, (0, 180))[0]

    def compute(self) -> dict[str, float]:
        """Metrics.

        Returns:
            angle_mean, angle_median: degrees; the median to a hundredth, since angles are kept as a histogram.
            within_11_25, within_22_5, within_30: share of the pixels that are off by less than so many degrees.
        """
        count = int(self._sums['histogram'].sum())
        shares = (quotient(within, count) for within in self._sums['within'])
        names = (f'within_{bound:g}'.replace('.', '_') for bound in ANGLES)
        return {
            'angle_mean': quotient(self._sums['angles'].value, count),
            'angle_median': self._median(count),
            **dict(zip(names, shares, strict=True)),
        }

    def _median(self, count: int) -> float:
        """Middle of the bin that the middle pixel is in."""
        if not count:
            return math.nan
        position = np.searchsorted(np.cumsum(self._sums['histogram']), (count + 1) / 2)
        return (int(position) + 0.5) / BINS_PER_DEGREE


METRICS: dict[str, Callable[[int], RunningSum]] = {
    'classes': SegmentationMetrics,
    'calibration': lambda num_classes: CalibrationMetrics(),
    'metres': lambda num_classes: DepthMetrics(),
    'edges': lambda num_classes: DepthEdgeMetrics(),
    'directions': lambda num_classes: NormalMetrics(),
    'surest': lambda num_classes: DepthConfidenceMetrics(),
}
"""Running sums by `tasks.Measure.accumulator`, made for the number of classes of the data set."""


def _angles(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Angles in degrees between unit vectors, float64 N,3 each.

    The arc cosine would lose small angles: it is flat at 1. This is Kahan's formula.
    """
    difference, total = np.linalg.norm(first - second, axis=1), np.linalg.norm(first + second, axis=1)
    return np.degrees(2 * np.arctan2(difference, total))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """float64: part / whole, NaN where that is 0 / 0."""
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)


def _mean_of_known(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan

# SPDX-License-Identifier: Apache-2.0
"""How what many views say of a voxel becomes one distribution over classes.

Every rule adds evidence: 0 or more for each class and observation, so that voxels may forget all but their strongest
classes. A rule is a record of `RULES`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from mtperception.errors import InputError

LEAST_PROBABILITY = 1e-3
"""No network is surer than that: a single observation of probability 0 would decide a product for ever."""


@dataclass(frozen=True)
class FusionRule:
    """A way to fuse.

    Both functions map float32 M,C to float32 M,C, one row per voxel.
    """

    observe: Callable[[np.ndarray], np.ndarray]
    """From the class probabilities that one view sees to evidence, 0 or more."""
    decide: Callable[[np.ndarray], np.ndarray]
    """From the sum of evidence to class probabilities; rows without evidence are uniform."""


def _log_odds_to_least(probabilities: np.ndarray) -> np.ndarray:
    logs = np.log(np.maximum(probabilities, LEAST_PROBABILITY))
    return logs - logs.min(axis=1, keepdims=True)


def _winner(probabilities: np.ndarray) -> np.ndarray:
    return _only_winner(np.ones_like(probabilities), probabilities)


def _confident_winner(probabilities: np.ndarray) -> np.ndarray:
    return _only_winner(probabilities, probabilities)


def _only_winner(values: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """`values` where a row of probabilities has its largest, 0 elsewhere."""
    winner = probabilities.argmax(axis=1)[:, None]
    evidence = np.zeros_like(probabilities)
    np.put_along_axis(evidence, winner, np.take_along_axis(values, winner, axis=1), axis=1)
    return evidence


def _share(evidence: np.ndarray) -> np.ndarray:
    total = evidence.sum(axis=1, keepdims=True)
    uniform = np.full_like(evidence, 1 / evidence.shape[1])
    return np.divide(evidence, total, out=uniform, where=total > 0)


def _softmax(evidence: np.ndarray) -> np.ndarray:
    return softmax(evidence, axis=1).astype(np.float32)


RULES: dict[str, FusionRule] = {
    # The product of the views' probabilities: SemanticFusion (McCormac et al., ICRA 2017, equation 2).
    'bayes': FusionRule(_log_odds_to_least, _softmax),
    # Their mean.
    'average': FusionRule(np.array, _share),
    # How often each class was the most likely.
    'histogram': FusionRule(_winner, _share),
    # The same, each time by how likely it was.
    'confidence': FusionRule(_confident_winner, _share),
}
"""By name."""
DEFAULT_RULE = 'average'


def spread(labels: np.ndarray, confidence: np.ndarray, num_classes: int) -> np.ndarray:
    """Distributions of which only the most likely class is known: the others share the rest.

    Args:
        labels: uint8 M, class indices.
        confidence: float32 M, 0..1, their probabilities; at least that of a uniform distribution is assumed.
        num_classes: C.

    Returns:
        float32 M,C; rows add up to 1.
    """
    if num_classes == 1:
        return np.ones((len(labels), 1), np.float32)
    sure = np.maximum(confidence, 1 / num_classes).astype(np.float32)
    rest = (1 - sure) / (num_classes - 1)
    probabilities = np.repeat(rest[:, None], num_classes, axis=1)
    np.put_along_axis(probabilities, labels[:, None].astype(np.intp), sure[:, None], axis=1)
    return probabilities


class ClassEvidence:
    """Evidence for the classes of many voxels, of which each keeps the `kept` strongest.

    Args:
        size: number of voxels.
        num_classes: C, up to 255.
        rule: a key of `RULES`.
        kept: classes per voxel; 0 keeps all.

    Raises:
        ValueError: for an unknown rule.
    """

    def __init__(self, size: int, num_classes: int, rule: str, kept: int = 0) -> None:
        if rule not in RULES:
            raise InputError(f'fusion {rule!r}: expected one of {", ".join(RULES)}')
        self.rule = RULES[rule]
        self.num_classes = num_classes
        self.kept = min(kept, num_classes) or num_classes
        # Zeros are not touched before they are written to: memory grows with the voxels in use.
        self.evidence = np.zeros((size, self.kept), np.float32)
        self.classes = None if self.kept == num_classes else np.zeros((size, self.kept), np.uint8)
        """Which class a column of a row stands for; None: column k is class k."""

    @property
    def bytes_per_voxel(self) -> int:
        """What a voxel costs."""
        return self.kept * (4 if self.classes is None else 5)

    def add(self, voxels: np.ndarray, probabilities: np.ndarray, weight: np.ndarray) -> None:
        """Add one observation of each of some voxels.

        Args:
            voxels: int64 M, each once.
            probabilities: float32 M,C.
            weight: float32 M: how much an observation counts.
        """
        added = self.rule.observe(probabilities) * weight[:, None]
        if self.classes is None:
            self.evidence[voxels] += added
            return
        added += self._all_classes(voxels)
        strongest = np.argpartition(added, -self.kept, axis=1)[:, -self.kept :]
        self.classes[voxels] = strongest
        self.evidence[voxels] = np.take_along_axis(added, strongest, axis=1)

    def probabilities(self, voxels: np.ndarray) -> np.ndarray:
        """float32 M,C: the distribution of each of int64 M voxels; uniform where nothing was seen."""
        return self.rule.decide(self._all_classes(voxels))

    def is_seen(self, voxels: np.ndarray) -> np.ndarray:
        """bool M: whether there is evidence."""
        return self.evidence[voxels].any(axis=1)

    def forget(self, voxels: np.ndarray | slice) -> None:
        """Take all evidence of some voxels away."""
        self.evidence[voxels] = 0

    def move(self, old: np.ndarray, new: np.ndarray) -> None:
        """Let voxels `new` have the evidence of voxels `old` (int64 M each); those that are only old have none."""
        for values in (self.evidence, self.classes):
            if values is not None:
                moved = values[old]
                values[old] = 0
                values[new] = moved

    def _all_classes(self, voxels: np.ndarray) -> np.ndarray:
        """float32 M,C, a copy."""
        if self.classes is None:
            return self.evidence[voxels]
        dense = np.zeros((len(voxels), self.num_classes), np.float32)
        # Columns that were never used all stand for class 0 with evidence 0: they add nothing.
        np.add.at(dense, (np.arange(len(voxels))[:, None], self.classes[voxels]), self.evidence[voxels])
        return dense

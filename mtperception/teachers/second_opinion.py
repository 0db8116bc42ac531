# SPDX-License-Identifier: Apache-2.0
"""Labels of a model, corrected by other networks where these know better.

Each other network is judged on a labelled data set: how often it said k where the truth was y. By Bayes' rule its k
then makes y so much more or less likely than y is by itself (A. P. Dawid and A. M. Skene, Maximum likelihood estimation
of observer error-rates, Applied Statistics 28, 1979). So its classes need neither names nor a mapping to the model's,
and a network that is often wrong about a class has little to say there. Several networks err alike, because they have
learnt from the same images: together they weigh like one.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mtperception.data.dataset import Dataset
from mtperception.labels import IGNORE_INDEX
from mtperception.teachers.teacher import Teacher, TeacherError
from mtperception.types import Intrinsics, Prediction

MAX_IMAGES = 200
"""Images of the labelled data set that networks are judged on, evenly spaced."""
DOUBT = 0.02
"""Images' worth of pixels without information that are added to each count: what was seen seldom proves little."""
STATEMENTS = 256
"""What a network can say of a pixel: class indices, and 255."""


class CorrectedTeacher:
    """A model and networks that correct its labels. Implements `Teacher`.

    Args:
        model: gives labels with confidence, and whatever else is wanted.
        others: networks with labels of any label space.
        judged_on: a data set with labels of the model's label space, which none of the others has learnt from.

    Raises:
        TeacherError: if a teacher gives no labels, the model no confidence, or the data set no labels of its classes.
        DatasetError: if a sample cannot be read.
    """

    gives_confidence = True

    def __init__(self, model: Teacher, others: Sequence[Teacher], judged_on: Dataset) -> None:
        for teacher in (model, *others):
            if 'segmentation' not in teacher.tasks:
                raise TeacherError(f'{teacher.name} has {", ".join(teacher.tasks)}: expected labels, too')
        if not model.gives_confidence:
            raise TeacherError(f'{model.name} gives no confidence: it can only be a second opinion on a model')
        if judged_on.label_space != model.label_space.name:
            found, expected = judged_on.label_space or 'no', model.label_space.name
            raise TeacherError(
                f'second opinions are judged on {found} labels: expected {expected}, as {model.name} has'
            )
        self._model, self._others = model, tuple(others)
        self._ratios = np.stack(
            [likelihood_ratios(counts) for counts in count_statements(others, judged_on, len(model.label_space))]
        )
        self.name = f'{model.name} with {" and ".join(other.name for other in others)}'
        parts = [model.sha256, *(other.sha256 for other in others), hashlib.sha256(self._ratios.tobytes()).hexdigest()]
        self.sha256 = hashlib.sha256(' '.join(parts).encode()).hexdigest()
        self.tasks = model.tasks
        self.label_space = model.label_space
        self.max_depth = model.max_depth

    def __call__(self, image: np.ndarray, intrinsics: Intrinsics | None) -> Prediction:
        """The model's prediction, with the labels and confidence that follow from all networks."""
        prediction = self._model(image, intrinsics)
        statements = np.stack([other(image, intrinsics).labels for other in self._others])
        labels, confidence = corrected(prediction.labels, prediction.confidence, statements, self._ratios)
        return replace(prediction, labels=labels, confidence=confidence)

    def close(self) -> None:
        """Release the model and the others."""
        for teacher in (self._model, *self._others):
            teacher.close()


def count_statements(others: Sequence[Teacher], dataset: Dataset, classes: int) -> np.ndarray:
    """What networks say of the pixels of each true class.

    Args:
        others: the networks.
        dataset: has labels.
        classes: their number.

    Returns:
        float64 N,256,C: pixels, in images' worth, of which network n said k where the truth was y.
    """
    counts = np.zeros((len(others), STATEMENTS, classes))
    for index in np.unique(np.linspace(0, len(dataset) - 1, MAX_IMAGES).astype(int)):
        sample = dataset[index]
        known = sample.labels != IGNORE_INDEX
        truth = sample.labels[known].astype(int)
        for count, other in zip(counts, others, strict=True):
            said = other(sample.image, sample.intrinsics).labels[known].astype(int)
            pairs = np.bincount(said * classes + truth, minlength=count.size)
            count += pairs.reshape(count.shape) / sample.labels.size
    return counts


def likelihood_ratios(counts: np.ndarray) -> np.ndarray:
    """How much more likely a class is once a network has said something: p(y | k) / p(y).

    Args:
        counts: K,C images' worth of pixels where the network said k and the truth was y.

    Returns:
        K,C; 1 for classes that the truth does not have.
    """
    total = counts.sum()
    if not total:
        return np.ones_like(counts)
    shares = counts.sum(axis=0) / total
    judged = counts + DOUBT * shares
    given = judged / judged.sum(axis=1, keepdims=True)
    return np.divide(given, shares, out=np.ones_like(counts), where=shares > 0)


def corrected(
    labels: np.ndarray, confidence: np.ndarray, statements: np.ndarray, ratios: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The most likely labels after what a model and other networks say.

    The model's doubt is spread evenly over the classes that it did not name.

    Args:
        labels: uint8 H,W, of the model.
        confidence: uint8 H,W: its confidence, 255 is 1.
        statements: uint8 N,H,W, of the others.
        ratios: N,256,C, `likelihood_ratios` of each.

    Returns:
        Labels, uint8 H,W, and confidence, uint8 H,W.
    """
    said, which = np.unique(statements.reshape(len(statements), -1), axis=1, return_inverse=True)
    logs = np.log(np.stack([table[k] for table, k in zip(ratios, said, strict=True)]))
    evidence, which = np.exp(logs.mean(axis=0)), which.reshape(labels.shape)
    sure = confidence / 256  # never quite
    doubt = (1 - sure) / max(evidence.shape[1] - 1, 1)
    own = evidence[which, labels] * sure
    total = own + (evidence.sum(axis=1)[which] - evidence[which, labels]) * doubt
    best, most = evidence.argmax(axis=1)[which], evidence.max(axis=1)[which] * doubt
    keeps = (best == labels) | (own >= most)
    found = np.where(keeps, labels, best).astype(np.uint8)
    return found, np.rint(255 * np.where(keeps, own, most) / total).astype(np.uint8)

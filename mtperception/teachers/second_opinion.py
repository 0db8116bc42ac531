# SPDX-License-Identifier: Apache-2.0
"""Labels of a model, corrected by other networks where these know better.

Each other network is judged on a labelled data set: how often it said k where the truth was y. By Bayes' rule its k
then makes y so much more or less likely than y is by itself. So its classes need neither names nor a mapping to the
model's, and a network that is often wrong about a class has little to say there (as in A. P. Dawid and A. M. Skene,
Maximum likelihood estimation of observer error-rates using the EM algorithm, Applied Statistics 28, 1979, who lack the
truth). Each network counts in full, as if it erred independently of the others: networks of different kinds nearly do;
to count two like one loses four points of mean IoU (docs/training_log.md, run 17). Two copies of one network do not.
"""

import hashlib
from collections.abc import Sequence
from functools import cached_property

import cv2
import numpy as np

from mtperception.data.dataset import Dataset
from mtperception.labels import IGNORE_INDEX
from mtperception.teachers.model_teacher import ModelTeacher
from mtperception.teachers.teacher import Teacher, TeacherError
from mtperception.types import Intrinsics, Prediction

MAX_IMAGES = 200
"""Images of the labelled data set that networks are judged on, evenly spaced."""
PSEUDO_COUNT = 0.5
"""Additive smoothing: images' worth of pixels without information. The pixels of one image alone prove little."""
INDICES = 256
"""What a network can say of a pixel: class indices, and 255."""
LEAST = 1e-4
"""No class that the model has is less probable: it is never certain."""


class CorrectedTeacher:
    """A model and networks that correct its labels. Implements `Teacher`.

    The networks are judged when the first image comes.

    Args:
        model: says how probable each class is, and gives whatever else is wanted.
        others: networks with labels of any label space.
        judged_on: a data set with labels of the model's label space, which none of the others has learnt from.

    Raises:
        TeacherError: if a teacher gives no labels, the first is no model, or the data set has no labels of its classes.
        InputError: if the model sees images in tiles.
        ImportError: without PyTorch.
        DatasetError: if a sample cannot be read.
    """

    gives_confidence = True

    def __init__(self, model: ModelTeacher, others: Sequence[Teacher], judged_on: Dataset) -> None:
        for teacher in (model, *others):
            if 'segmentation' not in teacher.tasks:
                raise TeacherError(f'{teacher.name} has {", ".join(teacher.tasks)}: expected labels, too')
        if not isinstance(model, ModelTeacher):
            raise TeacherError(
                f'{model.name} does not say how probable each class is: it can only be a second opinion on a model'
            )
        if judged_on.label_space != model.label_space.name:
            found, expected = judged_on.label_space or 'no', model.label_space.name
            raise TeacherError(
                f'second opinions are judged on {found} labels: expected {expected}, as {model.name} has'
            )
        self._model, self._others, self._judged_on = model, tuple(others), judged_on
        self._probabilities = model.probabilities
        self.name = f'{model.name} with {" and ".join(other.name for other in others)}'
        self.sha256 = self._identity()
        self.tasks = model.tasks
        self.label_space = model.label_space
        self.max_depth = model.max_depth

    def __call__(self, image: np.ndarray, intrinsics: Intrinsics | None) -> Prediction:
        """The model's prediction, with the labels and confidence that follow from all networks."""
        prediction = self._model(image, intrinsics)
        said = np.stack([other(image, intrinsics).labels for other in self._others])
        labels, confidence = corrected(self._probabilities(image), said, self._ratios)
        return Prediction(
            labels=labels, confidence=confidence, depth=prediction.depth, valid_mask=prediction.valid_mask
        )

    def close(self) -> None:
        """Release the model and the others."""
        for teacher in (self._model, *self._others):
            teacher.close()

    def _identity(self) -> str:
        """A hash of what decides, but not of what the networks say: that may differ in a pixel on another machine."""
        rule = f'{LEAST} {PSEUDO_COUNT}'
        teachers = (self._model, *self._others)
        content = hashlib.sha256(' '.join([rule, *(teacher.sha256 for teacher in teachers)]).encode())
        any_label = False
        for index in judged_images(self._judged_on):
            sample = self._judged_on[index]
            content.update(sample.image.tobytes())
            content.update(sample.labels.tobytes())
            any_label |= bool((sample.labels != IGNORE_INDEX).any())
        if not any_label:
            raise TeacherError('second opinions are judged on images without any labelled pixel: expected labels')
        return content.hexdigest()

    @cached_property
    def _ratios(self) -> np.ndarray:
        matrices = confusion_matrices(self._others, self._judged_on, len(self.label_space))
        return np.stack([posterior_over_prior(matrix) for matrix in matrices])


def judged_images(dataset: Dataset) -> list[int]:
    """Which samples networks are judged on."""
    return np.unique(np.linspace(0, len(dataset) - 1, MAX_IMAGES).astype(int)).tolist()


def confusion_matrices(others: Sequence[Teacher], dataset: Dataset, classes: int) -> np.ndarray:
    """What networks say of the pixels of each true class.

    Args:
        others: the networks.
        dataset: has labels.
        classes: their number.

    Returns:
        float64 N,256,C: pixels, in images' worth, of which network n said k where the truth was y.
    """
    counts = np.zeros((len(others), INDICES, classes))
    for index in judged_images(dataset):
        sample = dataset[index]
        known = sample.labels != IGNORE_INDEX
        truth = sample.labels[known].astype(int)
        for count, other in zip(counts, others, strict=True):
            said = other(sample.image, sample.intrinsics).labels[known].astype(int)
            pairs = np.bincount(said * classes + truth, minlength=count.size)
            count += pairs.reshape(count.shape) / sample.labels.size
    return counts


def posterior_over_prior(counts: np.ndarray) -> np.ndarray:
    """How much more likely a class is once a network has said something: p(y | k) / p(y).

    Args:
        counts: K,C images' worth of pixels where the network said k and the truth was y; some are not 0.

    Returns:
        K,C; of a class that the truth does not have, what it tends to as the class becomes rare: the more often k was
        said, the less likely.
    """
    prior = counts.sum(axis=0) / counts.sum()
    said = counts.sum(axis=1, keepdims=True) + PSEUDO_COUNT
    ratios = np.broadcast_to(PSEUDO_COUNT / said, counts.shape).copy()
    return np.divide(counts + PSEUDO_COUNT * prior, said * prior, out=ratios, where=prior > 0)


def corrected(probabilities: np.ndarray, said: np.ndarray, ratios: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The most likely labels after what a model and other networks say.

    Args:
        probabilities: C,h,w: how probable the model finds each class, at a lower resolution than the others.
        said: uint8 N,H,W, labels of the others; N is 7 at most.
        ratios: N,256,C, `posterior_over_prior` of each.

    Returns:
        Labels, uint8 H,W, and confidence, uint8 H,W: 255 is 1.
    """
    codes = sum(one.astype(np.int64) << (8 * number) for number, one in enumerate(said))
    values, which = np.unique(codes, return_inverse=True)
    height, width = said.shape[1:]
    which = which.reshape(height, width)
    logs = [np.log(table[(values >> (8 * number)) & 255]) for number, table in enumerate(ratios)]
    evidence = np.exp(np.sum(logs, axis=0)).astype(np.float32)
    has_class = probabilities.any(axis=(1, 2), keepdims=True)
    opinion = np.maximum(probabilities.astype(np.float32), LEAST * has_class)

    labels = np.zeros((height, width), np.uint8)
    total, most = (np.zeros((height, width), np.float32) for _ in range(2))
    for index, coarse in enumerate(opinion):  # one class after the other: all at once is too much for a large image
        likelihood = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR) * evidence[which, index]
        total += likelihood
        labels[likelihood > most] = index
        np.maximum(most, likelihood, out=most)
    return labels, np.rint(255 * most / total).astype(np.uint8)

# SPDX-License-Identifier: Apache-2.0
"""The annotations that a teacher can add to a data set: how they are stored in the `folder` layout."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtperception.data.dataset import DatasetError
from mtperception.geometry import is_valid
from mtperception.labels import IGNORE_INDEX
from mtperception.teachers.teacher import Teacher, TeacherError
from mtperception.types import Prediction

MAX_RAW = np.iinfo(np.uint16).max
FINE, COARSE = 0.001, 1 / 256
"""Metres per step of stored depth: millimetres reach to 65 m; KITTI's steps to 255 m."""


@dataclass(frozen=True)
class Annotation:
    """One kind of annotation, a PNG file per image."""

    key: str
    """Key in `dataset.json`, and name of the folder of the files."""
    entries: Mapping[str, Any]
    """What `dataset.json` says about it."""
    encode: Callable[[Prediction], np.ndarray]
    """Makes uint8 or uint16 H,W, as stored."""

    def path(self, folder: Path, name: str) -> Path:
        """The file of an image.

        Raises:
            DatasetError: for an id that leads out of the folder.
        """
        if '..' in Path(name).parts:
            raise DatasetError(
                f"id {name!r}: its annotations would be outside of {folder}: expected an id without '..'"
            )
        return folder / self.entries[self.key].replace('{id}', name)


def labels_annotation(teacher: Teacher, grouping: str, minimum_confidence: float) -> Annotation:
    """Hard labels.

    Args:
        teacher: gives them.
        grouping: label space to map them to; empty: the teacher's own.
        minimum_confidence: 0..1; pixels that the teacher is less sure of become 255. 0: all are kept.

    Raises:
        TeacherError: if the teacher gives no confidence but some is asked for.
        ValueError: if its label space has no such grouping.
    """
    if minimum_confidence and not teacher.gives_confidence:
        raise TeacherError(f'minimum confidence {minimum_confidence}: {teacher.name} gives no confidence: use 0')
    table = teacher.label_space.grouping(grouping) if grouping else np.arange(256, dtype=np.uint8)
    space = grouping or teacher.label_space.name
    least = int(np.ceil(minimum_confidence * 255))

    def encode(prediction: Prediction) -> np.ndarray:
        labels = table[prediction.labels]
        if least:
            labels[prediction.confidence < least] = IGNORE_INDEX
        return labels

    entries = {'labels': 'labels/{id}.png', 'label_space': space, 'ignore_index': IGNORE_INDEX}
    return Annotation('labels', entries, encode)


def depth_annotation(teacher: Teacher) -> Annotation:
    """Depth in 16 bits, in the finest steps that reach as far as the teacher sees; what none reaches is missing."""
    scale = FINE if teacher.max_depth <= MAX_RAW * FINE else COARSE

    def encode(prediction: Prediction) -> np.ndarray:
        depth = prediction.measured_depth
        raw = np.rint(depth / scale)
        return np.where(is_valid(depth) & (raw <= MAX_RAW), raw, 0).astype(np.uint16)

    entries = {'depth': 'depth/{id}.png', 'depth_scale': scale, 'depth_offset': 0, 'depth_invalid': 0}
    return Annotation('depth', entries, encode)

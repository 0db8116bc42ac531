# SPDX-License-Identifier: Apache-2.0
"""What a teacher is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mtperception.errors import MTPerceptionError
from mtperception.labels import LabelSpace
from mtperception.types import Intrinsics, Prediction


class TeacherError(MTPerceptionError, ValueError):
    """A network that cannot be used as asked; the message says what was found, what was expected and what to do."""


class Teacher(Protocol):
    """A network that knows what a data set lacks."""

    name: str
    """What it is called in the records of what it labelled."""
    sha256: str
    """SHA-256 of what defines the teacher: teachers with the same value give the same annotations."""
    tasks: tuple[str, ...]
    """What it knows, among `tasks.TASKS`."""
    label_space: LabelSpace
    """Label space of its labels; empty without segmentation."""
    gives_confidence: bool
    """Whether its labels come with `Prediction.confidence`."""
    max_depth: float
    """Metres: the largest depth it gives for the camera it was trained with; 0 without depth."""

    def __call__(self, image: np.ndarray, intrinsics: Intrinsics | None) -> Prediction:
        """Annotate an image.

        Args:
            image: uint8 H,W,3, RGB.
            intrinsics: its camera, where that is known.

        Returns:
            Maps of the image's H,W. Unlike a model, a teacher may leave pixels without a label (255).
        """
        ...

    def close(self) -> None:
        """Release what it holds."""
        ...


@dataclass(frozen=True)
class TeacherOptions:
    """How to run a teacher. Each kind knows some of these; the others must be left as they are."""

    label_space: str = ''
    """Label space of a network that does not name it itself."""
    backend: str = 'auto'
    device: str = 'auto'
    precision: str = 'auto'
    camera_height: float = 0.0
    """Metres from flat ground to a level camera: computes depth from that instead of asking the network. 0: off."""
    horizon: float | None = None
    """Row of the horizon in the images, in pixels, with a camera height; None: that of the principal point."""
    second_opinions: tuple[str, ...] = ()
    """Other networks, which correct the labels. Their classes need no names."""
    judged_on: str = ''
    """A data set in the `folder` layout with labels, which says how often they are right."""
    depth_opinions: tuple[str, ...] = ()
    """Files of depth networks that correct the shape of the depth."""
    disparity_opinions: tuple[str, ...] = ()
    """Likewise, of networks that give inverse depth."""
    raw_indices: bool = False
    """Whether class indices are wanted as they are, without a label space."""


TeacherLoader = Callable[[str, TeacherOptions], Teacher]
"""Loads a teacher from a path or a name; raises TeacherError, or what loading a model raises."""

# SPDX-License-Identifier: Apache-2.0
"""A model of this package as a teacher."""

from collections.abc import Callable
from functools import cached_property

import numpy as np

from mtperception.card import CARD, sha256
from mtperception.errors import needs
from mtperception.predictor import Predictor
from mtperception.teachers.teacher import TeacherError, TeacherOptions
from mtperception.types import Intrinsics, Prediction


class ModelTeacher:
    """A model directory, run as `mtperception predict` runs it. Implements `Teacher`.

    Args:
        model: the directory or the name of an installed model.
        options: all but `label_space`, which the model's card says; height and horizon are for `GroundPlaneTeacher`.

    Raises:
        TeacherError: if a label space is given.
        ResourceNotFoundError, ModelError, BackendUnavailableError, SelfTestError, ValueError: as `Predictor`.
    """

    def __init__(self, model: str, options: TeacherOptions) -> None:
        if options.label_space:
            raise TeacherError(
                f'label space {options.label_space} for the model {model}: its card has one: leave it out, '
                'or choose a grouping of it'
            )
        self._predictor = Predictor(model, options.backend, options.device, options.precision)
        card = self._predictor.card
        self.name = card.name
        self.sha256 = sha256(self._predictor.model.path / CARD)  # which has those of all other files
        self.tasks = card.tasks
        self.label_space = self._predictor.label_space
        self.gives_confidence = 'segmentation' in card.tasks
        self.max_depth = card.depth_range[1] if 'depth' in card.tasks else 0.0

    def __call__(self, image: np.ndarray, intrinsics: Intrinsics | None) -> Prediction:
        """Predict; without the camera, depth is that of the model's training camera."""
        return self._predictor(image, intrinsics)

    @cached_property
    def probabilities(self) -> Callable[[np.ndarray], np.ndarray]:
        """How probable each class is, of which a prediction tells only the largest: see `Probabilities`.

        Raises:
            InputError: for a model that sees images in tiles.
            ImportError: without PyTorch.
        """
        with needs('--second-opinion', 'PyTorch', 'torch'):
            from mtperception.probabilities import Probabilities
        return Probabilities(self._predictor)

    def close(self) -> None:
        """Release the backend."""
        self._predictor.close()

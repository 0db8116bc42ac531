# SPDX-License-Identifier: Apache-2.0
"""Depth from geometry: where a camera of known height sees flat ground, the row of a pixel says how far it is.

What stands on the ground is as far as its foot (D. Hoiem, A. A. Efros and M. Hebert, Automatic photo pop-up, SIGGRAPH
2005, do so with planes that are fitted to the outlines). Only the labels are a network's, and they serve in streets
that no depth was learnt in.
"""

import hashlib
import math

import numpy as np

from mtperception.input_policy import seen_focal_lengths
from mtperception.labels import OVERHEAD, TRAVERSABLE
from mtperception.teachers.model_teacher import ModelTeacher
from mtperception.teachers.teacher import TeacherError, TeacherOptions
from mtperception.types import Intrinsics, Prediction

MAX_STEP = 0.04
"""Largest relative difference of depth between a row and the next. Farther ground is left out: there a bump in the
road, or a label that ends a row too early, changes depth too much."""


class GroundPlaneTeacher(ModelTeacher):
    """A model whose labels say where the ground is; depth follows from the height of the camera. Implements `Teacher`.

    Args:
        model: the directory or the name of an installed model, with labels of a space that says what is traversable.
        options: `camera_height` and `horizon` among them.

    Raises:
        TeacherError: if height or horizon is no number that can be, or the model has no such labels.
        Others: as `ModelTeacher`.
    """

    def __init__(self, model: str, options: TeacherOptions) -> None:
        if not 0 < options.camera_height < math.inf:
            raise TeacherError(f'camera height {options.camera_height:g} m: expected metres above the ground')
        if not math.isfinite(options.horizon or 0):
            raise TeacherError(f'horizon {options.horizon:g}: expected a row, in pixels')
        super().__init__(model, options)
        self._height, self._horizon = options.camera_height, options.horizon
        self._ground = self._has_class(TRAVERSABLE)
        if not self._ground.any():
            self.close()
            raise TeacherError(
                f'camera height {options.camera_height:g} m for {self.name}: expected a model with labels of a space '
                f'that says which classes are {TRAVERSABLE}, such as kitti_6'
            )
        self._upright = ~self._ground & ~self._has_class(OVERHEAD)
        self._upright[len(self.label_space) :] = False
        horizon = '' if self._horizon is None else f', horizon {self._horizon}'
        self.name = f'{self.name} at {self._height} m above flat ground{horizon}'
        self.sha256 = hashlib.sha256(f'{self.sha256} {self.name}'.encode()).hexdigest()
        self.tasks = ('segmentation', 'depth')
        self.max_depth = math.inf  # how far depends on the camera

    def __call__(self, image: np.ndarray, intrinsics: Intrinsics | None) -> Prediction:
        """The labels, and the depth of the ground and of what stands on it; 0 elsewhere.

        Args:
            image: uint8 H,W,3, RGB.
            intrinsics: its camera; without it, the focal length of the model's training camera.

        Raises:
            TeacherError: without the camera, if the horizon was not given either; if it is so low that no ground has a
                depth.
        """
        if self._horizon is None and intrinsics is None:
            raise TeacherError(
                'no camera and no horizon: expected fx, fy, cx, cy of the images in dataset.json, or the row of the '
                'horizon (--horizon)'
            )
        prediction = super().__call__(image, intrinsics)
        horizon = self._horizon if self._horizon is not None else intrinsics.cy
        by_row = depth_of_rows(len(image), self._focal_length(image, intrinsics) * self._height, horizon)
        if not by_row.any():
            raise TeacherError(
                f'horizon {horizon:g} of an image of {len(image)} rows: no ground below it: expected a row further up'
            )
        depth = ground_depth(prediction.labels, by_row, self._ground, self._upright)
        return Prediction(labels=prediction.labels, confidence=prediction.confidence, depth=depth)

    def _has_class(self, kind: str) -> np.ndarray:
        """bool 256: the labels of one kind of the label space's `navigation`."""
        names = self.label_space.navigation.get(kind, ())
        return self.label_space.mark(names) > 0

    def _focal_length(self, image: np.ndarray, intrinsics: Intrinsics | None) -> float:
        """Pixels, along columns."""
        if intrinsics is not None:
            return intrinsics.fy
        card = self._predictor.card
        fx, fy = seen_focal_lengths(card.camera, card.input)
        layout = self._predictor.input_policy.layout(image.shape[1], image.shape[0])
        return fx * layout.image[0] / layout.plane[0] if fy is None else fy * layout.image[1] / layout.plane[1]


def depth_of_rows(height: int, focal_height: float, horizon: float) -> np.ndarray:
    """Metres along the optical axis of flat ground in each row, for a level camera.

    Args:
        height: of the image, in pixels.
        focal_height: pixels times metres: the focal length times the height above the ground.
        horizon: its row, in pixels; 0 is the centre of the first one.

    Returns:
        float32 H; 0 at and above the horizon, and where the step between rows is more than `MAX_STEP` of the depth.
    """
    rows = np.arange(height) - horizon
    sure = rows * MAX_STEP >= 1
    return np.where(sure, focal_height / np.where(sure, rows, 1), 0).astype(np.float32)


def ground_depth(labels: np.ndarray, by_row: np.ndarray, ground: np.ndarray, upright: np.ndarray) -> np.ndarray:
    """Depth of the ground and of what stands on it.

    In each column a region of one class that begins right above the ground is as far as the ground below it. Above that
    region only ground, and what stands right on it, has depth: anything else may be farther.

    Args:
        labels: uint8 H,W.
        by_row: float32 H, metres, as `depth_of_rows` gives it.
        ground: bool 256: the labels of ground.
        upright: bool 256: the labels of what stands on it.

    Returns:
        float32 H,W, metres; 0 where nothing is known.
    """
    depth = np.zeros(labels.shape, np.float32)
    columns = labels.shape[1]
    foot = np.zeros(columns, np.float32)
    below = np.zeros(columns, np.uint8)
    is_ground = stands = np.zeros(columns, bool)
    for row in range(len(labels) - 1, -1, -1):
        line = labels[row]
        stands = upright[line] & (is_ground | (stands & (line == below)))
        below, is_ground = line, ground[line]
        foot = np.where(is_ground, by_row[row], foot)
        depth[row] = np.where(is_ground | stands, foot, 0)
    return depth

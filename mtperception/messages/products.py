# SPDX-License-Identifier: Apache-2.0
"""What can be shown of a frame."""

from functools import cached_property

import cv2
import numpy as np

from mtperception import visualization
from mtperception.geometry import back_project
from mtperception.messages.presentation import Presentation
from mtperception.types import Intrinsics, Prediction


class Products:
    """What can be published of one frame. Each product is made on first use and shared by the outputs that need it.

    Args:
        image: uint8 H,W,3, RGB, the input.
        prediction: the maps, of the input's size or smaller.
        intrinsics: the camera at the size of the input, if it is known.
        presentation: how to show them.
        depth: float32 h,w, metres, 0 = invalid: that of the prediction to be shown, if it was made before.
    """

    def __init__(
        self,
        image: np.ndarray,
        prediction: Prediction,
        intrinsics: Intrinsics | None,
        presentation: Presentation,
        depth: np.ndarray | None = None,
    ) -> None:
        self.prediction = prediction
        self.presentation = presentation
        self._image = image
        self._intrinsics = intrinsics
        self._depth = depth

    @cached_property
    def image(self) -> np.ndarray:
        """uint8 h,w,3: the input at the size of the maps."""
        height, width = self.prediction.shape
        if self._image.shape[:2] == (height, width):
            return self._image
        return cv2.resize(self._image, (width, height), interpolation=cv2.INTER_AREA)

    @cached_property
    def intrinsics(self) -> Intrinsics | None:
        """The camera at the size of the maps."""
        height, width = self.prediction.shape
        return self._intrinsics and self._intrinsics.resized(width, height)

    @cached_property
    def labels(self) -> np.ndarray:
        """uint8 h,w: index in the published label space, 255 = unknown."""
        return self.presentation.labels(self.prediction)

    @cached_property
    def ids(self) -> np.ndarray:
        """uint8 h,w: published ids."""
        return cv2.LUT(self.labels, self.presentation.id_table)

    @cached_property
    def depth(self) -> np.ndarray:
        """float32 h,w: metres, 0 = invalid."""
        return self.presentation.valid_depth(self.prediction) if self._depth is None else self._depth

    @cached_property
    def depth_confidence(self) -> np.ndarray | None:
        """uint8 h,w: how likely depth is right, 0..255, and 0 where it is invalid; None of a model without it."""
        confidence = self.prediction.depth_confidence
        return None if confidence is None else cv2.copyTo(confidence, cv2.inRange(self.depth, 1e-9, np.inf))

    @cached_property
    def overlay(self) -> np.ndarray:
        """uint8 h,w,3: the labels' colours over the input."""
        alpha = self.presentation.settings.overlay_alpha
        return visualization.overlay(self.image, self.labels, self.presentation.space, alpha)

    @cached_property
    def points(self) -> np.ndarray:
        """float32 h,w,3: metres in the camera frame, NaN = invalid."""
        return back_project(self.depth, self.intrinsics)

    @property
    def sampled(self) -> 'Products':
        """The products of every `point_stride`-th row and column: maps are not enlarged for the pixels in between."""
        settings = self.presentation.settings
        kept = (slice(None, None, settings.point_stride),) * 2
        return Products(
            self.image[kept],
            self.prediction.sampled(settings.point_stride),
            self.intrinsics and self.intrinsics.sampled(settings.point_stride),
            self.presentation,
            self.depth[kept] if settings.depth_edge_threshold else None,  # edges are found among all pixels
        )

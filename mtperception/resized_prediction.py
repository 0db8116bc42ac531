# SPDX-License-Identifier: Apache-2.0
"""Maps of the network's size, shown at the image's: each is resized when it is first read, and only then."""

from collections.abc import Mapping
from functools import cached_property

import cv2
import numpy as np

from mtperception.geometry import unit_vectors
from mtperception.input_policy import resize_nearest
from mtperception.tasks import CLASSES, DIRECTIONS, SHARES, graph_output
from mtperception.types import Prediction

_VALID = 65535
"""In masks while they are interpolated: less is partly invalid. 8 bits would lose a 500th of an invalid pixel."""


class ResizedPrediction(Prediction):
    """A prediction whose maps are resized when they are first read: who asks for depth alone pays for depth alone.

    Pixel centres are at halves in all maps, so that they show the same places.
    """

    _maps: Mapping[str, np.ndarray] = {}
    _size: tuple[int, int] | None = None

    @classmethod
    def to_size(
        cls, maps: Mapping[str, np.ndarray], size: tuple[int, int], latency_ms: Mapping[str, float]
    ) -> 'ResizedPrediction':
        """Maps to be shown at another width and height.

        Args:
            maps: by field of a `Prediction`.
            size: width and height.
            latency_ms: of the prediction.
        """
        prediction = cls.__new__(cls)
        # What is not set here is made by the properties below; a frozen dataclass has no other way.
        vars(prediction).update(_maps=maps, _size=size, latency_ms=latency_ms)
        return prediction

    @property
    def computed(self) -> Mapping[str, np.ndarray]:
        """As `Prediction.computed`."""
        return self._maps

    def with_maps(self, maps: Mapping[str, np.ndarray]) -> 'ResizedPrediction':
        """As `Prediction.with_maps`."""
        return ResizedPrediction.to_size(maps, self._size, self.latency_ms)

    def sampled(self, stride: int) -> Prediction:
        """As `Prediction.sampled`; the pixels in between are never made."""
        maps = {
            name: _sampled(graph_output(name).kind, map_, self._size, stride)
            for name, map_ in self._maps.items()
            if name != 'valid_mask'
        }
        if self.valid_mask is not None:  # of bytes, and mostly of ones: it costs little as a whole
            maps['valid_mask'] = self.valid_mask[::stride, ::stride]
        return Prediction.of(maps, self.latency_ms)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the maps."""
        return self._size[::-1] if self._size else super().shape

    @cached_property
    def labels(self) -> np.ndarray | None:
        """As `Prediction.labels`."""
        return self._resized('labels')

    @cached_property
    def confidence(self) -> np.ndarray | None:
        """As `Prediction.confidence`."""
        return self._resized('confidence')

    @cached_property
    def depth(self) -> np.ndarray | None:
        """As `Prediction.depth`."""
        return self._resized('depth')

    @cached_property
    def normals(self) -> np.ndarray | None:
        """As `Prediction.normals`."""
        return self._resized('normals')

    @cached_property
    def depth_confidence(self) -> np.ndarray | None:
        """As `Prediction.depth_confidence`."""
        return self._resized('depth_confidence')

    @cached_property
    def others(self) -> Mapping[str, np.ndarray]:
        """As `Prediction.others`."""
        return {name: self._resized(name) for name in self._maps if name not in Prediction.__dataclass_fields__}

    @cached_property
    def valid_mask(self) -> np.ndarray | None:
        """As `Prediction.valid_mask`: valid where all is that the depth is interpolated from.

        So nothing of an invalid depth gets into a valid one.
        """
        mask = self._maps.get('valid_mask')
        if mask is None:
            return None
        if mask.all():
            return np.ones(self.shape, bool)
        levels = mask * np.uint16(_VALID)
        return cv2.resize(levels, self._size, interpolation=cv2.INTER_LINEAR) == _VALID

    def _resized(self, name: str) -> np.ndarray | None:
        """Classes and shares by nearest neighbour, measures bilinearly."""
        map_ = self._maps.get(name)
        if map_ is None:
            return None
        kind = graph_output(name).kind
        if kind in (CLASSES, SHARES):
            return resize_nearest(map_, self._size)
        resized = cv2.resize(map_, self._size, interpolation=cv2.INTER_LINEAR)
        return unit_vectors(resized) if kind == DIRECTIONS else resized


def _sampled(kind: str, map_: np.ndarray, size: tuple[int, int], stride: int) -> np.ndarray:
    """Every `stride`-th row and column of a map, as it is when it is resized."""
    height, width = map_.shape[:2]
    if kind in (CLASSES, SHARES):
        return map_[_nearest(size[1], height, stride)[:, None], _nearest(size[0], width, stride)]
    values = _bilinear(map_, size, stride)
    return unit_vectors(values) if kind == DIRECTIONS else values


def _nearest(size: int, small: int, stride: int) -> np.ndarray:
    """For every `stride`-th of `size` pixels, the one of `small` that `resize_nearest` takes."""
    return resize_nearest(np.arange(small, dtype=np.uint16)[None], (size, 1))[0, ::stride]


def _bilinear(map_: np.ndarray, size: tuple[int, int], stride: int) -> np.ndarray:
    """Every `stride`-th row and column of a float32 map that is resized bilinearly: the same as OpenCV's resize."""
    height, width, *channels = map_.shape
    above, below, down = _between(size[1], height, stride)
    left, right, along = _between(size[0], width, stride)
    along = along.reshape(-1, *(1 for _ in channels))
    upper, lower = (
        map_[rows[:, None], left] * (1 - along) + map_[rows[:, None], right] * along for rows in (above, below)
    )
    down = down.reshape(-1, 1, *(1 for _ in channels))
    return upper * (1 - down) + lower * down


def _between(size: int, small: int, stride: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For every `stride`-th of `size` pixels: the two of `small` that it lies between, and the share of the second."""
    centre = ((np.arange(0, size, stride) + 0.5) * (small / size) - 0.5).clip(0, small - 1)
    first = np.floor(centre).astype(int)
    return first, np.minimum(first + 1, small - 1), (centre - first).astype(np.float32)

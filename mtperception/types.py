# SPDX-License-Identifier: Apache-2.0
"""The data that flows through the package."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

import cv2
import numpy as np

MAX_PIXELS = 4096 * 3072
"""Largest image that a graph is run on; larger ones are reduced first."""
MAX_IMAGE_PIXELS = 8192 * 8192
"""Larger images are refused, whether they come in files, videos, recordings or messages."""
MAX_IMAGE_SIDE = 16384
"""Longest side of an image in pixels. One row of millions passes `MAX_IMAGE_PIXELS`, but no camera makes it, and a JPEG
ends at 65500."""
GRAPH_SIZES = f'a size of 1 to {MAX_IMAGE_SIDE} a side and up to {MAX_PIXELS} pixels (4096x3072)'
"""What `is_graph_size` allows, in words."""
OUTPUT_SIZES = ('input', 'network')
"""What size maps may have: the image's, or that of what the network saw."""
DEPTH_SCALE_MODES = ('focal', 'none')
"""Whether depth is scaled by the ratio of the camera's focal length to the training camera's."""

MODEL, SENSOR = 'model', 'sensor'
DEPTHS = (MODEL, SENSOR)
"""Where depth is from: the model, or the source itself."""


def is_graph_size(width: int, height: int) -> bool:
    """Whether a graph can be run on images of this size."""
    return min(width, height) > 0 and max(width, height) <= MAX_IMAGE_SIDE and width * height <= MAX_PIXELS


def same_aspect(first: tuple[int, int], second: tuple[int, int]) -> bool:
    """Whether two sizes (width, height) are of one image resized: each side of the smaller is off by under a pixel."""
    return abs(first[0] * second[1] - first[1] * second[0]) < max(*first, *second)


@dataclass(frozen=True)
class Intrinsics:
    """Pinhole camera in pixels, valid for images of exactly `width` x `height`.

    The centre of the top left pixel is (0, 0), as in ROS and OpenCV. The camera frame is REP 103's optical one: x to
    the right, y down, z forward.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int

    def for_image(self, width: int, height: int) -> 'Intrinsics | None':
        """This camera for images of `width` x `height`; None if they are not its images resized (`same_aspect`).

        An image of another shape was cropped or stretched nobody knows how, so its camera is not known.
        """
        if (width, height) == (self.width, self.height):
            return self
        return self.resized(width, height) if same_aspect((width, height), (self.width, self.height)) else None

    def resized(self, width: int, height: int) -> 'Intrinsics':
        """The same camera after its images were resized to `width` x `height` (half-pixel centres)."""
        x, y = width / self.width, height / self.height
        return Intrinsics(
            fx=self.fx * x,
            fy=self.fy * y,
            cx=(self.cx + 0.5) * x - 0.5,
            cy=(self.cy + 0.5) * y - 0.5,
            width=width,
            height=height,
        )

    def sampled(self, stride: int) -> 'Intrinsics':
        """The same camera for every `stride`-th row and column of its images, from the first on."""
        return Intrinsics(
            fx=self.fx / stride,
            fy=self.fy / stride,
            cx=self.cx / stride,
            cy=self.cy / stride,
            width=-(-self.width // stride),
            height=-(-self.height // stride),
        )


@dataclass(frozen=True)
class Sample:
    """An image with what is known about it. Missing annotations are None."""

    image: np.ndarray
    """uint8 H,W,3, RGB."""
    labels: np.ndarray | None = None
    """uint8 H,W: class index of the data set's label space, 255 = unlabelled."""
    depth: np.ndarray | None = None
    """float32 H,W: metres along the optical axis, 0 = invalid."""
    intrinsics: Intrinsics | None = None

    @property
    def valid_mask(self) -> np.ndarray | None:
        """bool H,W: where `depth` is known."""
        return None if self.depth is None else self.depth > 0


@dataclass(frozen=True)
class Frame:
    """One image of a source or a recording, with what is known about it. What is not known is None."""

    image: np.ndarray
    """uint8 H,W,3, RGB."""
    stamp_ns: int
    """When it was taken, nanoseconds in the source's own time: only differences have a meaning."""
    intrinsics: Intrinsics | None
    """The camera, of exactly the image's size."""
    name: str
    """Unique in its source and usable in a file name."""
    depth: np.ndarray | None = None
    """float32 H,W: measured metres along the optical axis, registered to the image; 0 = invalid."""
    labels: np.ndarray | None = None
    """uint8 H,W: class indices of the recorded labels, 255 = unlabelled."""
    T_world_camera: np.ndarray | None = None
    """float64 4,4: pose of the optical frame."""


@dataclass(frozen=True)
class Prediction:
    """What a model says about one image. A network without a task leaves its fields None."""

    labels: np.ndarray | None = None
    """uint8 H,W: class index of the model's label space."""
    confidence: np.ndarray | None = None
    """uint8 H,W: largest softmax probability, 0..255."""
    depth: np.ndarray | None = None
    """float32 H,W: metres along the optical axis, as the graph clamps it: to be scored. See `measured_depth`."""
    normals: np.ndarray | None = None
    """float32 H,W,3: unit vectors in the camera frame."""
    depth_confidence: np.ndarray | None = None
    """uint8 H,W: how likely the depth is right, 0..255; see `pipeline.Pipeline.make_depth_confidence`."""
    valid_mask: np.ndarray | None = None
    """bool H,W: where `depth` is a measurement: not at an end of the model's range, nor of a class that has no depth,
    such as sky. None without depth, and of who does not say."""
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    """Milliseconds by stage: `resize`, `upload`, `inference`, `download`."""
    others: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Maps of tasks that have no field above, by the name of the graph's output."""

    @classmethod
    def of(cls, maps: Mapping[str, np.ndarray], latency_ms: Mapping[str, float]) -> 'Prediction':
        """From the maps of a graph, by name."""
        others = {name: map_ for name, map_ in maps.items() if name not in cls.__dataclass_fields__}
        named = {name: map_ for name, map_ in maps.items() if name not in others}
        return cls(**named, latency_ms=latency_ms, others=others)

    def map(self, name: str) -> np.ndarray | None:
        """The map of an output of the graph; None if the network does not have its task."""
        return getattr(self, name) if name in self.__dataclass_fields__ else self.others.get(name)

    @property
    def measured_depth(self) -> np.ndarray | None:
        """float32 H,W: `depth`, 0 where it is no measurement: to be published, exported and mapped."""
        if self.depth is None or self.valid_mask is None or self.valid_mask.all():
            return self.depth
        return cv2.copyTo(self.depth, self.valid_mask.view(np.uint8))

    @property
    def computed(self) -> Mapping[str, np.ndarray]:
        """The maps that there are, by the name of the graph's output, and `valid_mask`; at the size that they were
        computed at, which may be smaller than `shape`."""
        named = {name: getattr(self, name) for name in _MAPS}
        return {name: map_ for name, map_ in named.items() if map_ is not None} | dict(self.others)

    def with_maps(self, maps: Mapping[str, np.ndarray]) -> 'Prediction':
        """The same with other maps in place of the `computed` ones, each of the same size."""
        return Prediction.of(maps, self.latency_ms)

    def sampled(self, stride: int) -> 'Prediction':
        """Every `stride`-th row and column, from the first on."""
        return Prediction.of({name: map_[::stride, ::stride] for name, map_ in self.computed.items()}, self.latency_ms)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the maps."""
        maps = (self.labels, self.depth, self.normals, *self.others.values())
        return next(x.shape[:2] for x in maps if x is not None)


_MAPS = tuple(item.name for item in fields(Prediction) if item.name not in ('latency_ms', 'others'))
"""The fields of a prediction that hold a map."""

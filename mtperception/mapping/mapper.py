# SPDX-License-Identifier: Apache-2.0
"""From frames to a map: predict, leave out what is no lasting surface, fuse."""

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from mtperception.errors import InputError
from mtperception.labels import DEFAULT_INVALID_DEPTH_CLASSES, LabelSpace
from mtperception.mapping.filtering import DEFAULT_DEPTH_EDGE_THRESHOLD, DEFAULT_DYNAMIC_CLASSES, DepthFilter
from mtperception.mapping.frame import MapFrame
from mtperception.mapping.fusion import DEFAULT_RULE
from mtperception.mapping.scale import FloorScale
from mtperception.mapping.volume import MapFullError, SemanticVolume
from mtperception.types import DEPTHS, MODEL, SENSOR, Frame, Intrinsics, Prediction

Predict = Callable[[np.ndarray, Intrinsics | None], Prediction]
RECORDED = 'recorded'
LABELS = (MODEL, RECORDED)
"""Where depth and labels may come from."""
SURE = 255
"""Confidence of recorded labels."""
MEMORY_LIMITS = (1, 1_000_000)
"""Least and most that `memory_mb` may be."""
MAX_MIN_VIEWS = 1000
NO_POSE, NO_CAMERA = 'no pose', 'no camera'
TOO_LARGE = 'more than the memory of the map has room for'
"""Why a frame is left out."""


@dataclass(frozen=True)
class MapOptions:
    """What a map is made of and how."""

    depth: str = MODEL
    """One of `DEPTHS`."""
    labels: str = MODEL
    """One of `LABELS`."""
    voxel_size: float = 0.05
    """Metres."""
    max_depth: float = 5.0
    """Metres; depth beyond this is left out."""
    fusion: str = DEFAULT_RULE
    """A key of `fusion.RULES`."""
    kept_classes: int = 4
    """That a voxel remembers; 0: all."""
    memory_mb: float = 500.0
    """That the map takes at most."""
    archive: str = ''
    """Folder for blocks that make room; empty: they are dropped."""
    min_views: int = 2
    """That must have seen a voxel before it shows."""
    dynamic_classes: tuple[str, ...] = DEFAULT_DYNAMIC_CLASSES
    invalid_depth_classes: tuple[str, ...] = DEFAULT_INVALID_DEPTH_CLASSES
    depth_edge_threshold: float = DEFAULT_DEPTH_EDGE_THRESHOLD
    """See `geometry.depth_edges`; 0: off."""
    depth_confidence_threshold: float = 0.0
    """0..1: depth that the model is less sure of is left out, if it says how sure it is."""
    camera_height: float = 0.0
    """Metres above the floor, which then sets the scale of depth; 0: not known."""

    @property
    def needs_model(self) -> bool:
        """Whether anything comes from a model."""
        return MODEL in (self.depth, self.labels)


@dataclass
class MapStatistics:
    """What became of the frames. Series have a value for each used frame, as many as are kept."""

    ms: deque[float] = field(default_factory=deque)
    """Times to fuse a view, without the prediction."""
    prediction_ms: deque[float] = field(default_factory=deque)
    memory_mb: deque[float] = field(default_factory=deque)
    """After the frame."""
    median_depths: deque[float] = field(default_factory=deque)
    """Metres: of the valid depth, before anything is left out; none of a frame without any."""
    poses: deque[np.ndarray] = field(default_factory=deque)
    """float64 4,4 each."""
    scales: deque[float] = field(default_factory=deque)
    """Factors on depth by the height of the camera."""
    used: int = 0
    left_out_frames: Counter[str] = field(default_factory=Counter)
    """By reason."""
    pixels: int = 0
    """Pixels of the used frames."""
    left_out_pixels: Counter[str] = field(default_factory=Counter)
    """By reason, those of `filtering`."""
    intrinsics: Intrinsics | None = None
    """Camera of the newest used frame."""

    @classmethod
    def of(cls, history: int | None) -> 'MapStatistics':
        """Of no frame yet, to keep the figures of the newest `history` frames; None: of all."""
        series = ('ms', 'prediction_ms', 'memory_mb', 'median_depths', 'poses', 'scales')
        return cls(**{name: deque(maxlen=history) for name in series})


class Mapper:
    """Adds frames to a map.

    Args:
        space: of the labels.
        options: how.
        predict: the model; None if nothing comes from one.
        history: frames whose figures are kept; None: all.

    Raises:
        ValueError: for options that cannot be.
        WriteError: if the archive cannot be made.
    """

    def __init__(
        self, space: LabelSpace, options: MapOptions, predict: Predict | None = None, history: int | None = None
    ) -> None:
        for value, allowed, name in ((options.depth, DEPTHS, 'depth'), (options.labels, LABELS, 'labels')):
            if value not in allowed:
                raise InputError(f'{name} {value!r}: expected one of {", ".join(allowed)}')
        if options.needs_model and predict is None:
            raise InputError('depth or labels of a model: expected one')
        self.space, self.options = space, options
        self.statistics = MapStatistics.of(history)
        self._predict = predict
        self._filter = DepthFilter(
            space,
            options.max_depth,
            options.dynamic_classes,
            options.invalid_depth_classes,
            options.depth_edge_threshold,
            options.depth_confidence_threshold,
        )
        self._scale = FloorScale(space, options.camera_height) if options.camera_height else None
        # Last, since it takes hold of the archive.
        self.volume = SemanticVolume(
            options.voxel_size,
            len(space),
            options.fusion,
            options.kept_classes,
            options.max_depth,
            options.memory_mb,
            Path(options.archive) if options.archive else None,
        )

    def add(self, frame: Frame) -> None:
        """Predict for a frame and fuse it, or count why not."""
        reason = self._why_not(frame)
        if reason:
            self.statistics.left_out_frames[reason] += 1
            return
        start = time.perf_counter()
        prediction = self._predict(frame.image, frame.intrinsics) if self.options.needs_model else Prediction()
        self.statistics.prediction_ms.append((time.perf_counter() - start) * 1e3)
        maps = self._maps(frame, prediction)
        sure = prediction.depth_confidence if self.options.depth == MODEL else None
        try:
            self.fuse(MapFrame(frame.T_world_camera, frame.intrinsics, *maps, frame.image, sure))
        except MapFullError:
            self.statistics.left_out_frames[TOO_LARGE] += 1

    def fuse(self, view: MapFrame) -> None:
        """Scale the depth of a view, leave out what is no lasting surface, and fuse the rest.

        Raises:
            MapFullError: if it alone needs more memory than the map may take.
            ValueError: if its maps have different sizes, or a label is of no class. The map is as it was.
        """
        view.check(len(self.space))
        start, statistics, depth = time.perf_counter(), self.statistics, view.depth
        if self._scale:
            scale = self._scale.update(depth, view.labels, view.intrinsics)
            depth = depth * np.float32(scale)
        filtered = self._filter(depth, view.labels, view.depth_confidence)
        self.volume.integrate(replace(view, depth=filtered.depth))
        statistics.used += 1
        statistics.pixels += depth.size
        if self._scale:
            statistics.scales.append(scale)
        statistics.left_out_pixels.update(filtered.left_out)
        valid = depth[depth > 0]
        if valid.size:
            statistics.median_depths.append(float(np.median(valid)))
        statistics.memory_mb.append(self.volume.memory_mb)
        statistics.poses.append(view.T_world_camera)
        statistics.intrinsics = view.intrinsics
        statistics.ms.append((time.perf_counter() - start) * 1e3)

    def _why_not(self, frame: Frame) -> str:
        """Why a frame cannot be used; empty if it can."""
        if frame.T_world_camera is None:
            return NO_POSE
        if frame.intrinsics is None:
            return NO_CAMERA
        if self.options.depth == SENSOR and frame.depth is None:
            return 'no sensor depth'
        if self.options.labels == RECORDED and frame.labels is None:
            return 'no recorded labels'
        return ''

    def _maps(self, frame: Frame, prediction: Prediction) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Depth, labels and confidence."""
        depth = frame.depth if self.options.depth == SENSOR else prediction.measured_depth
        if self.options.labels == RECORDED:
            return depth, frame.labels, np.full(frame.labels.shape, SURE, np.uint8)
        return depth, prediction.labels, prediction.confidence

# SPDX-License-Identifier: Apache-2.0
"""Maps of the same views by several settings, each scored: the tables of `docs/mapping_quality.md`.

The reference is the depth of the source (a sensor's, or exact), and its labels where it has them.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from mtperception.errors import InputError
from mtperception.evaluation.calibration import calibration_error
from mtperception.evaluation.metrics import SegmentationMetrics
from mtperception.geometry import is_valid
from mtperception.labels import IGNORE_INDEX, LabelSpace
from mtperception.mapping.frame import MapFrame
from mtperception.mapping.mapper import RECORDED, MapOptions, Mapper
from mtperception.mapping.plausibility import blocks_dropped
from mtperception.mapping.quality import (
    flicker,
    surface_scores,
    true_labels,
)
from mtperception.mapping.rendering import SurfaceRenderer
from mtperception.mapping.summary import area
from mtperception.mapping.surface import Surface
from mtperception.recording.warping import warp_depth
from mtperception.types import SENSOR, Frame, Prediction

SAME_SURFACE = 0.05
"""Share of the depth by which two views of the same surface differ at most."""
NEAR = 0.05
"""Metres: what is called near in the scores of geometry."""
AS_IT_IS, MEDIAN, HEIGHT = 'as it is', 'median of the reference', 'camera height'
"""How the scale of each view's predicted depth is set."""


class Assessment:
    """Scores maps of some views.

    Args:
        frames: with pose, camera and depth.
        predictions: of a model, for each.
        space: of its labels; frames are scored by their own labels if all have them, in the same space.
        options: what all maps have in common.

    Attributes:
        notes: what the figures of a map do not cover.

    Raises:
        InputError: if there are fewer than two such frames.
    """

    def __init__(
        self, frames: Sequence[Frame], predictions: Sequence[Prediction], space: LabelSpace, options: MapOptions
    ) -> None:
        if len(frames) < 2:
            raise InputError(f'{len(frames)} images with pose, camera and depth: expected at least 2')
        self._frames, self._predictions, self._space = frames, predictions, space
        self._options = replace(options, depth=SENSOR, labels=RECORDED)  # what is fused is given
        self.notes: list[str] = []
        self._mapped = [is_valid(frame.depth) & (frame.depth < options.max_depth) for frame in frames]
        """Pixels that are scored."""
        pairs = zip(frames, self._mapped, strict=True) if self.has_truth else ()
        self._truth = [_where(seen, frame.labels) for frame, seen in pairs]
        self._warps = [self._warp(index) for index in range(1, len(frames))]

    @property
    def has_truth(self) -> bool:
        """Whether labels are scored."""
        return all(frame.labels is not None for frame in self._frames)

    def of_views(self) -> dict[str, Any]:
        """The views by themselves: `flicker`; with labels, `accuracy`, `miou` and `ece`."""
        pairs = zip(self._predictions, self._mapped, strict=True)
        labels = [_where(seen, prediction.labels) for prediction, seen in pairs]
        confidence = [p.confidence.astype(np.float32) / 255 for p in self._predictions]
        return {'flicker': flicker(labels, self._warps), **self._pixel_scores(labels, confidence)}

    def of_labels(self, voxel_size: float, fusion: str, kept_classes: int) -> dict[str, Any]:
        """A map of the model's labels on the reference's depth.

        Returns:
            The settings; of the map rendered into the views what `of_views` has, and `covered`, the share of pixels
            where it has a surface; over its vertices `miou_3d`, `accuracy_3d` and `ece_3d`; `ms`, `mb`, `mb_per_m2`,
            `m2`.
        """
        options = replace(self._options, voxel_size=voxel_size, fusion=fusion, kept_classes=kept_classes)
        mapper = self._map(options, [frame.depth for frame in self._frames])
        surface = mapper.volume.surface(options.min_views)
        square_metres, megabytes = area(surface), mapper.volume.memory_mb
        return {
            'voxel_size': voxel_size,
            'fusion': fusion,
            'kept_classes': kept_classes,
            **self._rendered_scores(surface, 2 * voxel_size),
            **self._vertex_scores(surface, voxel_size),
            'ms': float(np.median(mapper.statistics.ms)),
            'mb': megabytes,
            'm2': square_metres,
            'mb_per_m2': megabytes / square_metres if square_metres else float('nan'),
        }

    def of_depth(self, scale: str, depth_edge_threshold: float, camera_height: float = 0.0) -> dict[str, Any]:
        """A map of the model's depth against that of the reference's.

        Args:
            scale: `AS_IT_IS`, `MEDIAN` or `HEIGHT`.
            depth_edge_threshold: of the map of the model's depth.
            camera_height: metres, for `HEIGHT`.

        Returns:
            The settings, `surface_scores`, `near_pixels` (share of the views' pixels that are nearer to the reference
            than `NEAR`), and `factor`, the newest, for `HEIGHT`.
        """
        options = replace(
            self._options,
            depth_edge_threshold=depth_edge_threshold,
            camera_height=camera_height if scale == HEIGHT else 0.0,
        )
        depths = [self._scaled(index, scale) for index in range(len(self._frames))]
        mapper = self._map(options, depths)
        scales = mapper.statistics.scales
        near = [
            np.abs(d - f.depth)[seen & (d > 0)] <= NEAR
            for d, f, seen in zip(depths, self._frames, self._mapped, strict=True)
        ]
        return {
            'scale': scale,
            'depth_edge_threshold': depth_edge_threshold,
            **surface_scores(mapper.volume.surface(options.min_views).vertices, self._reference, NEAR),
            'near_pixels': None if scales else float(np.concatenate(near).mean()),
            'factor': scales[-1] if scales else None,
        }

    def _map(self, options: MapOptions, depths: Sequence[np.ndarray]) -> Mapper:
        mapper = Mapper(self._space, options)
        for frame, prediction, depth in zip(self._frames, self._predictions, depths, strict=True):
            maps = (depth, prediction.labels, prediction.confidence, frame.image)
            mapper.fuse(MapFrame(frame.T_world_camera, frame.intrinsics, *maps))
        if dropped := blocks_dropped(mapper.volume, options.memory_mb):
            self.notes.append(f'{options.fusion}, voxels of {options.voxel_size:g} m: {dropped}')
        return mapper

    @cached_property
    def _reference(self) -> np.ndarray:
        """float32 N,3: vertices of the map of the reference's depth."""
        mapper = self._map(self._options, [frame.depth for frame in self._frames])
        return mapper.volume.surface(self._options.min_views).vertices

    def _scaled(self, index: int, scale: str) -> np.ndarray:
        """float32 H,W: the predicted depth of a view."""
        depth = self._predictions[index].measured_depth
        both = (depth > 0) & self._mapped[index]
        if scale != MEDIAN or not both.any():
            return depth
        return depth * np.float32(np.median(self._frames[index].depth[both]) / np.median(depth[both]))

    def _rendered_scores(self, surface: Surface, tolerance: float) -> dict[str, float]:
        renderer = SurfaceRenderer(surface)
        labels, confidence = [], []
        for frame, seen in zip(self._frames, self._mapped, strict=True):
            view = renderer.render(frame.T_world_camera, frame.intrinsics)
            there = seen & (view.depth > 0) & (np.abs(view.depth - frame.depth) < tolerance)
            labels.append(_where(there, view.labels))
            confidence.append(view.confidence)
        found = sum(int((label != IGNORE_INDEX).sum()) for label in labels)
        covered = found / max(1, sum(int(seen.sum()) for seen in self._mapped))
        scores = self._pixel_scores(labels, confidence)
        return {'flicker': flicker(labels, self._warps), 'covered': covered, **scores}

    def _pixel_scores(self, labels: Sequence[np.ndarray], confidence: Sequence[np.ndarray]) -> dict[str, float]:
        if not self.has_truth:
            return {}
        return self._scores(
            *(np.concatenate([map_.ravel() for map_ in maps]) for maps in (self._truth, labels, confidence))
        )

    def _vertex_scores(self, surface: Surface, tolerance: float) -> dict[str, float]:
        if not self.has_truth:
            return {}
        truth = true_labels(surface.vertices, self._frames, tolerance)
        scores = self._scores(truth, surface.labels, surface.confidence)
        return {f'{name}_3d': value for name, value in scores.items()}

    def _scores(self, truth: np.ndarray, labels: np.ndarray, confidence: np.ndarray) -> dict[str, float]:
        """What has no class is wrong; its confidence says nothing."""
        both = (truth != IGNORE_INDEX) & (labels != IGNORE_INDEX)
        metrics = SegmentationMetrics(len(self._space))
        metrics.update(labels, truth)
        scores = metrics.compute()
        return {
            'accuracy': scores['pixel_accuracy'],
            'miou': scores['miou'],
            'ece': calibration_error(confidence[both], truth[both] == labels[both]),
        }

    def _warp(self, index: int) -> np.ndarray:
        """int32 H,W: the pixel of the view before that sees the same surface; -1 = none."""
        before, now = self._frames[index - 1], self._frames[index]
        T_now_before = np.linalg.inv(now.T_world_camera) @ before.T_world_camera
        warp = warp_depth(before.depth, before.intrinsics, now.intrinsics, T_now_before)
        same = (warp.source >= 0) & (np.abs(warp.depth - now.depth) < SAME_SURFACE * now.depth)
        return np.where(same, warp.source, -1)


def _where(kept: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """uint8 H,W: labels, unknown where they are not kept."""
    return np.where(kept, labels, np.uint8(IGNORE_INDEX))

# SPDX-License-Identifier: Apache-2.0
"""How predictions appear on topics: ids, groupings, masks, valid depth; as tables, made once per change of settings."""

import json
from dataclasses import dataclass

import cv2
import numpy as np

from mtperception.card import ModelCard
from mtperception.errors import InputError
from mtperception.geometry import depth_edges
from mtperception.labels import IGNORE_INDEX, LabelSpace, invalid_depth_table, load_label_space
from mtperception.messages.parameters import DEFAULT_MASK_CLASSES, Settings
from mtperception.types import Prediction

UNLABELED_ID = 255


@dataclass(frozen=True)
class Presentation:
    """The settings of the outputs, resolved for one model.

    Attributes:
        settings: the node's parameters.
        space: the label space that is published: the model's own, or the grouping that was asked for.
        group_table: uint8 256, from the model's class index to the index in `space`, 255 stays 255; None: the same.
        id_table: uint8 256, from the index in `space` to the published id.
        mask_table: uint8 256, 255 at the model's class indices that `semantic/mask` marks.
        depth_range: metres, as published, that colours span: the model's range, up to the limits that are set.
        depth_limits: smallest and largest depth, metres as published, that is not left out.
        min_confidence: pixels of lower confidence (0..255) are unknown.
        min_depth_confidence: depth of lower confidence (0..255) is invalid, where a model gives any.
    """

    settings: Settings
    space: LabelSpace
    group_table: np.ndarray | None
    id_table: np.ndarray
    mask_table: np.ndarray
    depth_range: tuple[float, float]
    depth_limits: tuple[float, float]
    min_confidence: int
    min_depth_confidence: int

    @classmethod
    def build(cls, settings: Settings, card: ModelCard, model_space: LabelSpace) -> 'Presentation':
        """Resolve settings for a model.

        Raises:
            ValueError: if the model has no such grouping or class, ids would leave 0..254, or the limits of depth leave
                nothing.
        """
        space, group_table = model_space, None
        if settings.label_space not in ('', model_space.name):
            group_table = model_space.grouping(settings.label_space)
            space = load_label_space(settings.label_space)
        if settings.max_depth and settings.min_depth >= settings.max_depth:
            raise InputError(
                f'min_depth {settings.min_depth}, max_depth {settings.max_depth}: expected min < max (0: no limit)'
            )
        invalid_depth_table(model_space, settings.invalid_depth_classes)  # the predictor follows it: here it is checked
        return cls(
            settings,
            space,
            group_table,
            space.id_table(settings.label_offset),
            model_space.mark(settings.mask_classes, DEFAULT_MASK_CLASSES),
            _colored_range(settings, card.depth_range),
            (settings.min_depth, settings.max_depth or np.inf),
            int(np.ceil(settings.confidence_threshold * 255)),
            int(np.ceil(settings.depth_confidence_threshold * 255)),
        )

    @property
    def unknown_id(self) -> int:
        """The id of unknown pixels."""
        return int(self.id_table[IGNORE_INDEX])

    def labels(self, prediction: Prediction) -> np.ndarray:
        """uint8 H,W of indices in `space`, 255 = unknown, from the model's labels and confidence."""
        labels = prediction.labels
        grouped = labels if self.group_table is None else cv2.LUT(labels, self.group_table)
        if not self.min_confidence:
            return grouped  # without reading the confidence, which would be resized for nothing
        unknown = cv2.inRange(prediction.confidence, 0, self.min_confidence - 1)  # 255 there, 0 elsewhere
        return np.maximum(grouped, unknown)

    def valid_depth(self, prediction: Prediction) -> np.ndarray:
        """float32 H,W metres, 0 where depth is no measurement, at a step, unsure, or outside `depth_limits`."""
        depth = prediction.measured_depth
        if self.settings.depth_edge_threshold:
            depth = np.where(depth_edges(depth, self.settings.depth_edge_threshold), np.float32(0), depth)
        if self.min_depth_confidence and prediction.depth_confidence is not None:
            sure = cv2.inRange(prediction.depth_confidence, self.min_depth_confidence, 255)
            depth = cv2.copyTo(depth, sure)
        near, far = (float(np.float32(limit)) for limit in self.depth_limits)
        if (near, far) == (0, np.inf):
            return depth
        return cv2.copyTo(depth, ((depth >= near) & (depth <= far)).view(np.uint8))

    def id_names(self) -> dict[int, str]:
        """Every published id and its name, the unknown ones too."""
        names = {self.unknown_id: 'unknown', UNLABELED_ID: 'UNLABELED'}
        return dict(sorted((names | {int(self.id_table[i]): name for i, name in enumerate(self.space.names)}).items()))

    def classes_json(self) -> str:
        """The published classes as JSON: a list of id, name, color (RGB) and group (null without one)."""
        return json.dumps(
            [
                {
                    'id': int(self.id_table[index]),
                    'name': name,
                    'color': self.space.palette[index].tolist(),
                    'group': group,
                }
                for index, (name, group) in enumerate(zip(self.space.names, _groups(self.space), strict=True))
            ]
        )


def _colored_range(settings: Settings, depth_range: tuple[float, float]) -> tuple[float, float]:
    """Metres, nearest and farthest. Depth is scaled, so a limit may be outside of the model's own range."""
    near, far = (settings.depth_scale * limit for limit in depth_range)
    if settings.min_depth >= far:
        return settings.min_depth, settings.max_depth or settings.min_depth + far - near
    if 0 < settings.max_depth <= near:
        return settings.min_depth, settings.max_depth
    return settings.min_depth or near, settings.max_depth or far


def _groups(space: LabelSpace) -> list[str | None]:
    """For each class, the name of its group in the first grouping; None if there is none."""
    if not space.groupings:
        return [None] * len(space)
    target, table = next(iter(space.groupings.items()))
    names = dict(enumerate(load_label_space(target).names))
    return [names.get(index) for index in table.tolist()]

# SPDX-License-Identifier: Apache-2.0
"""How fast views are fused, and how much memory their map takes."""

import time
from collections.abc import Callable

import numpy as np

from mtperception.labels import load_label_space
from mtperception.mapping.frame import MapFrame
from mtperception.mapping.mapper import RECORDED, MapOptions, Mapper
from mtperception.synthetic import PERIOD, SyntheticRoom, pose
from mtperception.types import SENSOR

WIDTH, HEIGHT, VOXEL_SIZE, SPACE = 480, 360, 0.05, 'nyuv2_40'
"""What is measured."""
VIEWS = 60
CONFIDENCE = 230
"""Confidence of all labels, 0..255."""


def mapping_speed(views: int = VIEWS, on_step: Callable[[int], None] = lambda done: None) -> dict[str, float]:
    """Fuse views of the rendered room, once around, with the default rule: filter, integrate and classes.

    Args:
        views: how many.
        on_step: called with the number of views that are fused.

    Returns:
        `median_ms`, `p90_ms` and `max_ms` of the first to the last view, `cpu_ms` (median processor time of all
        threads), `memory_mb` of the map, `width`, `height`, `voxel_size`, `classes`, `views`.
    """
    room, space = SyntheticRoom(WIDTH, HEIGHT), load_label_space(SPACE)
    mapper = Mapper(space, MapOptions(depth=SENSOR, labels=RECORDED, voxel_size=VOXEL_SIZE))
    cpu_ms = []
    for index in range(views):
        seconds = PERIOD * index / views
        sample = room.frame(seconds)
        confidence = np.full(sample.labels.shape, CONFIDENCE, np.uint8)
        view = MapFrame(pose(seconds), room.intrinsics, sample.depth, sample.labels, confidence, sample.image)
        start = time.process_time()
        mapper.fuse(view)
        cpu_ms.append((time.process_time() - start) * 1e3)
        on_step(index + 1)
    ms = np.array(mapper.statistics.ms)
    return {
        'median_ms': float(np.median(ms)),
        'p90_ms': float(np.percentile(ms, 90)),
        'max_ms': float(ms.max()),
        'cpu_ms': float(np.median(cpu_ms)),
        'memory_mb': mapper.volume.memory_mb,
        'width': WIDTH,
        'height': HEIGHT,
        'voxel_size': VOXEL_SIZE,
        'classes': len(space),
        'views': views,
    }

# SPDX-License-Identifier: Apache-2.0
"""What a map came to, as the JSON that commands write."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from mtperception import __version__
from mtperception.hardware import describe_hardware
from mtperception.labels import IGNORE_INDEX
from mtperception.mapping.mapper import Mapper
from mtperception.mapping.surface import Surface


def summary(mapper: Mapper, voxels: int, surface: Surface, model: str, source: str, notes: list[str]) -> dict[str, Any]:
    """`frames` that were fused, `metrics`, what was left out and why, the classes of the vertices.

    Args:
        mapper: after its last frame.
        voxels: of its map, those in an archive included.
        surface: of the same.
        model: its name; empty if none was used.
        source: of the frames.
        notes: what a user should know.
    """
    statistics, options, volume = mapper.statistics, mapper.options, mapper.volume
    pixels = max(statistics.pixels, 1)
    counts = np.bincount(surface.labels, minlength=256)
    return {
        'mtperception': __version__,
        'command': 'map',
        'model': model,
        'hardware': describe_hardware(),
        'source': source,
        'frames': statistics.used,
        'metrics': {
            'ms_per_frame': _median(statistics.ms),
            'prediction_ms_per_frame': _median(statistics.prediction_ms) if options.needs_model else None,
            'memory_mb': volume.memory_mb,
            'voxels': voxels,
            'blocks': volume.blocks,
            'dropped_blocks': volume.dropped_blocks,
            'archived_blocks': volume.archived_blocks,
            'vertices': len(surface.vertices),
            'triangles': len(surface.triangles),
            'area_m2': area(surface),
            'confidence': float(surface.confidence.mean()) if len(surface.confidence) else None,
            'depth_scale_factor': statistics.scales[-1] if statistics.scales else None,
        },
        'left_out': {
            'frames': dict(statistics.left_out_frames),
            'pixels': {reason: count / pixels for reason, count in statistics.left_out_pixels.items()},
        },
        'classes': {name: int(counts[index]) for index, name in enumerate(mapper.space.names) if counts[index]},
        'unknown_vertices': int(counts[IGNORE_INDEX]),
        'label_space': mapper.space.name,
        'options': {name: list(value) if isinstance(value, tuple) else value for name, value in vars(options).items()},
        'notes': notes,
    }


def area(surface: Surface) -> float:
    """Square metres of all triangles."""
    a, b, c = (surface.vertices[surface.triangles[:, corner]].astype(float) for corner in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if values else None

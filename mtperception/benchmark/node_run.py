# SPDX-License-Identifier: Apache-2.0
"""What comes out when images are played to the perception node at some rate."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Stages = Mapping[str, Mapping[str, float]]
"""Milliseconds: p50 and p99 by stage."""


@dataclass(frozen=True)
class NodeRun:
    """One rate, from the first image that was played to the answer to the last."""

    backend: Mapping[str, str]
    """Backend, device and precision of the node."""
    rate: float
    """Images per second that were asked for."""
    input_rate: float
    """Images per second that were published."""
    frames_in: int
    """Images that were published."""
    replaced: int
    """Images that a newer one replaced while they waited in the node, by its own account."""
    answers: np.ndarray
    """int64 N,2, a row for each image of which all maps arrived: its stamp and when the last map was there, ns."""
    stages_ms: Stages
    """Stages of the last 1000 answers at most, as the node reports them."""

    @property
    def frames_out(self) -> int:
        """Images of which all maps arrived."""
        return len(self.answers)

    @property
    def dropped(self) -> int:
        """Images that were published and of which not all maps arrived, wherever they were lost."""
        return self.frames_in - self.frames_out

    @property
    def end_to_end_ms(self) -> dict[str, float]:
        """From publishing an image to the arrival of the last of its maps, over all answers; there must be one."""
        latencies = (self.answers[:, 1] - self.answers[:, 0]) / 1e6
        p50, p99 = np.percentile(latencies, (50, 99))
        return {'p50': float(p50), 'p99': float(p99), 'max': float(latencies.max())}

    def as_row(self) -> dict[str, Any]:
        """Its figures by name, for JSON."""
        return {
            'rate': self.rate,
            'input_rate': self.input_rate,
            'frames_in': self.frames_in,
            'frames_out': self.frames_out,
            'dropped': self.dropped,
            'dropped_share': self.dropped / self.frames_in,
            'replaced': self.replaced,
            'end_to_end_ms': self.end_to_end_ms,
            'latency_ms': {stage: dict(figures) for stage, figures in self.stages_ms.items()},
        }

# SPDX-License-Identifier: Apache-2.0
"""How much of the measured depth can be compared at all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mtperception.geometry import is_valid

MUCH = 0.1
"""Share of the measured pixels beyond the model's range from which on that is told."""


@dataclass(frozen=True)
class DepthTruth:
    """The measured depth of one frame."""

    known: int
    """Pixels with a measurement."""
    beyond: int
    """Those of them that are farther than the model can say."""


def depth_truth(truth: np.ndarray, furthest: float) -> DepthTruth:
    """Count pixels.

    Args:
        truth: float32 H,W, metres; what is not `geometry.is_valid` is no measurement.
        furthest: metres: where the range of the model ends with this camera.
    """
    known = is_valid(truth)
    return DepthTruth(int(known.sum()), int((known & (truth > furthest)).sum()))


def truth_notes(truths: Sequence[DepthTruth]) -> Iterator[str]:
    """What a user should know of the truth of all frames that have one."""
    known, beyond = sum(truth.known for truth in truths), sum(truth.beyond for truth in truths)
    if truths and not known:
        yield f'depth: no pixel of the {len(truths)} depth images has a measurement: there are no figures of depth'
    if known and beyond > MUCH * known:
        yield (
            f'depth: {beyond / known:.0%} of the measured pixels are farther than the model can tell with this camera: '
            'they dominate the error; is the topic depth, and the model one for such distances?'
        )

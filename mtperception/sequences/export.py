# SPDX-License-Identifier: Apache-2.0
"""From a recording and a model to what a mapping system reads."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtperception.atomic_write import atomic_file, atomic_folder
from mtperception.errors import InputError
from mtperception.predictor import BackendPredictor
from mtperception.sequences.writer import SequenceFrame, SequenceWriter, WriterOptions
from mtperception.sources import Frame
from mtperception.types import Intrinsics


@dataclass(frozen=True)
class Exported:
    """What was written."""

    frames: int
    """How many."""
    size: tuple[int, int]
    """Width and height of all of them."""
    intrinsics: Intrinsics | None
    """The camera of the first, at that size; None if the recording does not know it."""
    poses: int
    """How many have a pose."""
    not_later: int
    """How many have a stamp that is not after that of the frame before; what reads a sequence counts on rising ones."""


def export_sequence(
    frames: Iterable[Frame],
    predictor: BackendPredictor,
    kind: type[SequenceWriter],
    out: Path,
    options: WriterOptions | None = None,
    probabilities: Callable[[np.ndarray], np.ndarray] | None = None,
    on_frame: Callable[[int], None] = lambda done: None,
) -> Exported:
    """Predict the depth of all frames and write them; `out` is there completely or not at all.

    Args:
        frames: the recording.
        predictor: of a model with depth.
        kind: the format, of `SEQUENCE_FORMATS`.
        out: the file or the folder to write; an earlier export there is replaced.
        options: of the format.
        probabilities: gives float16 C,h,w of an image; None leaves them out.
        on_frame: called with the number of frames done.

    Raises:
        ValueError: if the model gives no depth, there are no frames, they differ in size where the format takes only
            one size, or something else is at `out`.
        SourceError: if no frame can be read.
        OSError: if it cannot be written.
    """
    if 'depth' not in predictor.card.tasks:
        raise InputError(f'model {predictor.card.name} gives no depth: expected one with depth')
    count, first, poses, not_later, last_ns = 0, None, 0, 0, None
    place = atomic_folder(out, kind.entries) if kind.entries else atomic_file(out)
    with place as part, closing(kind(part, options or WriterOptions())) as writer:
        for frame in _predicted(frames, predictor, probabilities):
            resized = frame.resized(kind.size or frame.size)
            first = first or resized
            _check_same_size(first, resized, count)
            writer.write(resized)
            count += 1
            poses += frame.T_world_camera is not None
            not_later += last_ns is not None and frame.stamp_ns <= last_ns
            last_ns = frame.stamp_ns
            on_frame(count)
        if first is None:
            raise InputError('no frames to export')
    return Exported(count, first.size, first.intrinsics, poses, not_later)


def _predicted(
    frames: Iterable[Frame],
    predictor: BackendPredictor,
    probabilities: Callable[[np.ndarray], np.ndarray] | None,
) -> Iterator[SequenceFrame]:
    for frame in frames:
        depth = predictor(frame.image, frame.intrinsics).measured_depth
        of_classes = probabilities(frame.image) if probabilities else None
        yield SequenceFrame(frame.image, depth, frame.stamp_ns, frame.intrinsics, of_classes, frame.T_world_camera)


def _check_same_size(first: SequenceFrame, frame: SequenceFrame, index: int) -> None:
    if frame.size != first.size:
        raise InputError(f'frame {index} is {frame.size} pixels, the first one {first.size}: expected one size for all')

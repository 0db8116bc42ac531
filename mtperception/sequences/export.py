# SPDX-License-Identifier: Apache-2.0
"""From a recording and a model to what a mapping system reads."""

from collections.abc import Callable, Iterable
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
    without_depth: int
    """How many were left out because they have no depth."""
    not_later: int
    """How many have a stamp that is not after that of the frame before; what reads a sequence counts on rising ones."""


def export_sequence(
    frames: Iterable[Frame],
    predictor: BackendPredictor | None,
    kind: type[SequenceWriter],
    out: Path,
    options: WriterOptions | None = None,
    probabilities: Callable[[np.ndarray], np.ndarray] | None = None,
    on_frame: Callable[[int], None] = lambda done: None,
) -> Exported:
    """Write all frames with their depth; `out` is there completely or not at all.

    Args:
        frames: the recording.
        predictor: of a model, whose depth is written; None: the frames' own depth, and those without are left out.
        kind: the format, of `SEQUENCE_FORMATS`.
        out: the file or the folder to write; an earlier export there is replaced.
        options: of the format.
        probabilities: gives float16 C,h,w of an image; None leaves them out.
        on_frame: called with the number of frames done.

    Raises:
        ValueError: if the model gives no depth, there are no frames, none has depth, they differ in size where the
            format takes only one size, or something else is at `out`.
        SourceError: if no frame can be read.
        OSError: if it cannot be written.
    """
    if predictor and 'depth' not in predictor.card.tasks:
        raise InputError(f'model {predictor.card.name} gives no depth: expected one with depth')
    written = _Written()
    place = atomic_folder(out, kind.entries) if kind.entries else atomic_file(out)
    with place as part, closing(kind(part, options or WriterOptions())) as writer:
        for frame in frames:
            depth = predictor(frame.image, frame.intrinsics).measured_depth if predictor else frame.depth
            if depth is None:
                written.without_depth += 1
                continue
            made = _sequence_frame(frame, depth, probabilities)
            made = made.resized(kind.size or made.size)
            written.check(made)
            writer.write(made)
            written.add(made)
            on_frame(written.frames)
        return written.exported()


class _Written:
    """What was written so far."""

    def __init__(self) -> None:
        self.frames = self.without_depth = self._poses = self._not_later = 0
        self._first: SequenceFrame | None = None
        self._last_ns: int | None = None

    def check(self, frame: SequenceFrame) -> None:
        """Raises InputError if a frame is of another size than the first."""
        if self._first and frame.size != self._first.size:
            found = f'frame {self.frames} is {frame.size} pixels, the first one {self._first.size}'
            raise InputError(f'{found}: expected one size for all')

    def add(self, frame: SequenceFrame) -> None:
        self._first = self._first or frame
        self.frames += 1
        self._poses += frame.T_world_camera is not None
        self._not_later += self._last_ns is not None and frame.stamp_ns <= self._last_ns
        self._last_ns = frame.stamp_ns

    def exported(self) -> Exported:
        """Raises InputError if nothing was written."""
        if self._first is None:
            none = f'none of {self.without_depth} frames has depth of its own: expected a source with depth'
            raise InputError(none if self.without_depth else 'no frames to export')
        first = self._first
        return Exported(self.frames, first.size, first.intrinsics, self._poses, self.without_depth, self._not_later)


def _sequence_frame(
    frame: Frame, depth: np.ndarray, probabilities: Callable[[np.ndarray], np.ndarray] | None
) -> SequenceFrame:
    of_classes = probabilities(frame.image) if probabilities else None
    return SequenceFrame(frame.image, depth, frame.stamp_ns, frame.intrinsics, of_classes, frame.T_world_camera)

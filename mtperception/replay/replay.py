# SPDX-License-Identifier: Apache-2.0
"""Run a model over a recording, every frame in order, and score it against what the recording knows."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mtperception.card import ModelDirectory
from mtperception.errors import InputError, SourceError
from mtperception.hardware import describe_hardware
from mtperception.labels import LabelSpace
from mtperception.predictor import BackendPredictor
from mtperception.recording.recording import MessageListener, RecordedFrame, Recording, refusal_notes
from mtperception.replay.result import DEFINITIONS, Replay
from mtperception.replay.scorer import Scorer
from mtperception.types import Prediction

PredictionListener = Callable[[RecordedFrame, Prediction], None]


class Stopwatch:
    """Seconds spent on each of several things; `writing` only where something is written or compared."""

    def __init__(self) -> None:
        self.seconds = {'reading': 0.0, 'predicting': 0.0, 'scoring': 0.0}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """All that was spent since the last lap was spent on this."""
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now


@dataclass
class ScoredPart:
    """What came of some frames of a recording that follow each other."""

    scorer: Scorer
    seconds: dict[str, float]
    """Spent on each thing (`Stopwatch`)."""
    refused: dict[str, tuple[int, str]]
    """How much was refused and why the first one was, by role."""
    notes: list[str]
    """On the whole recording."""
    facts: dict[str, Any]
    """On recording and model, for the protocol."""
    backend: str
    hardware: str

    def merge(self, other: 'ScoredPart') -> None:
        """Add the part that follows."""
        self.scorer.merge(other.scorer)
        self.seconds = {
            name: self.seconds.get(name, 0.0) + other.seconds.get(name, 0.0)
            for name in dict.fromkeys((*self.seconds, *other.seconds))
        }
        for role, (count, why) in other.refused.items():
            before, first = self.refused.get(role, (0, why))
            self.refused[role] = (before + count, first)
        self.backend, self.hardware = (
            '; '.join(dict.fromkeys((*getattr(self, name).split('; '), getattr(other, name))))
            for name in ('backend', 'hardware')
        )

    def state(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {**vars(self), 'scorer': self.scorer.state()}

    @classmethod
    def restored(cls, state: Mapping[str, Any], scorer: Scorer) -> 'ScoredPart':
        """The part that a state was taken of.

        Args:
            state: as JSON keeps it.
            scorer: of the same model and truth, with nothing scored.
        """
        scorer.restore(state['scorer'])
        refused = {role: (count, why) for role, (count, why) in state['refused'].items()}
        return cls(**{**state, 'scorer': scorer, 'refused': refused})


def predictions(
    predictor: BackendPredictor,
    recording: Recording,
    stopwatch: Stopwatch,
    on_message: MessageListener | None = None,
    positions: range | None = None,
) -> Iterator[tuple[RecordedFrame, Prediction]]:
    """The frames of a recording, or those at some positions, with what a model says about them."""

    def listen(*message: Any) -> None:
        stopwatch.lap('reading')
        on_message(*message)
        stopwatch.lap('writing')

    for frame in recording.frames(on_message and listen, positions):
        stopwatch.lap('reading')
        prediction = predictor(frame.image, frame.intrinsics)
        stopwatch.lap('predicting')
        yield frame, prediction


def replay(
    predictor: BackendPredictor,
    recording: Recording,
    *,
    truth_space: LabelSpace | None = None,
    on_frame: Callable[[int], None] = lambda done: None,
    on_message: MessageListener | None = None,
    listeners: Sequence[PredictionListener] = (),
) -> Replay:
    """Predict and score all frames of a recording.

    Args:
        predictor: the model. Depth is scaled to the camera where the recording has a camera_info.
        recording: the bag.
        truth_space: label space of its label topic; None for the model's own.
        on_frame: called with the number of frames done, after each one.
        on_message: called with the messages of the recording that are used, as `Recording.frames` does.
        listeners: called with each frame and its prediction.

    Raises:
        SourceError: if no image is usable.
        ValueError: if labels cannot be compared, or the predictor does not give maps of the size of the image.
    """
    part = score(
        predictor,
        recording,
        range(recording.count),
        truth_space=truth_space,
        on_frame=on_frame,
        on_message=on_message,
        listeners=listeners,
    )
    return conclude(part)


def score(
    predictor: BackendPredictor,
    recording: Recording,
    positions: range,
    *,
    truth_space: LabelSpace | None = None,
    on_frame: Callable[[int], None] = lambda done: None,
    on_message: MessageListener | None = None,
    listeners: Sequence[PredictionListener] = (),
) -> ScoredPart:
    """Predict and score some frames of a recording; parts that follow each other merge to the whole.

    The frame before the first one is predicted, too: flicker is the difference from it.

    Args:
        positions: of the images, one after the other.
        predictor, recording, truth_space, on_frame, on_message, listeners: as `replay`.

    Raises:
        ValueError: as `replay`.
    """
    if predictor.output_size != 'input':
        raise InputError(f'predictor with output_size {predictor.output_size!r}: expected input, the size of the truth')
    scorer = new_scorer(predictor, recording, truth_space)
    _warm_up(predictor, recording, positions)
    before = _frame_before(recording, positions.start)
    if before is not None:
        scorer.begin_after(before, predictor(before.image, before.intrinsics))
    stopwatch = Stopwatch()
    for frame, prediction in predictions(predictor, recording, stopwatch, on_message, positions):
        try:
            scorer.add(frame, prediction)
        except ValueError as error:
            raise InputError(f'image {frame.index} of {recording.topics.image}: {error}') from error
        stopwatch.lap('scoring')
        if listeners:
            for listener in listeners:
                listener(frame, prediction)
            stopwatch.lap('writing')
        on_frame(len(scorer.frames))
    backend = predictor.backend
    return ScoredPart(
        scorer=scorer,
        seconds=stopwatch.seconds,
        refused=recording.refused if positions else {},
        notes=list(recording.standing_notes),
        facts=_facts(predictor, recording),
        backend=backend.description,
        hardware=describe_hardware(),
    )


def new_scorer(
    model: BackendPredictor | ModelDirectory, recording: Recording, truth_space: LabelSpace | None = None
) -> Scorer:
    """A scorer for the truth that a recording has.

    Raises:
        ValueError: if labels cannot be compared.
    """
    return Scorer(model, (truth_space or model.label_space) if recording.topics.labels else None)


def conclude(whole: ScoredPart) -> Replay:
    """What the frames of a whole recording say.

    Raises:
        SourceError: if there are none.
    """
    notes = (*whole.notes, *refusal_notes(whole.refused))
    if not whole.scorer.frames:
        raise SourceError(f'{whole.facts["recording"]["bag"]}: no usable image: {"; ".join(notes)}')
    frames = whole.scorer.frames
    if any(frame.with_pose for frame in frames) and not any(frame.with_camera for frame in frames):
        notes = (*notes, 'camera motion: known, but no image has a usable camera_info: no flicker without the motion')
    return whole.scorer.result(whole.seconds, _protocol(whole), notes, whole.hardware)


def _warm_up(predictor: BackendPredictor, recording: Recording, positions: range) -> None:
    """Prepare the backend for the size of the first image, so that this does not count as prediction."""
    first = next(recording.frames(positions=positions), None)
    if first is not None:
        height, width = first.image.shape[:2]
        predictor.prepare(width, height)


def _frame_before(recording: Recording, position: int) -> RecordedFrame | None:
    """The last frame before a position that is not refused; None if there is none."""
    before = (next(recording.frames(positions=range(x, x + 1)), None) for x in range(position - 1, -1, -1))
    return next((frame for frame in before if frame is not None), None)


def _facts(predictor: BackendPredictor, recording: Recording) -> dict[str, Any]:
    return {
        'recording': recording.facts(),
        'network_size': f'{predictor.network_size[0]}x{predictor.network_size[1]}',
        'input': predictor.input_policy.description,
        'depth_range': list(predictor.card.depth_range),
    }


def _protocol(whole: ScoredPart) -> dict[str, Any]:
    frames, facts = whole.scorer.frames, whole.facts
    with_camera = sum(frame.with_camera for frame in frames)
    return {
        **facts['recording'],
        'image_sizes': [f'{width}x{height}' for width, height in sorted({frame.size for frame in frames})],
        'network_size': facts['network_size'],
        'input': facts['input'],
        'focal_scale': f"by the camera_info and the model's camera, for {with_camera} of {len(frames)} images",
        'depth_range': facts['depth_range'],
        **whole.scorer.truths,
        **DEFINITIONS,
        'backend': whole.backend,
        'camera_poses': f'{sum(frame.with_pose for frame in frames)} of {len(frames)} images',
    }

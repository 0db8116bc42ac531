"""Run a model over a recording, every frame in order, and score it against what the recording knows."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from mtperception.errors import InputError, SourceError
from mtperception.evaluation.grouped_truth import truth_grouping
from mtperception.labels import LabelSpace
from mtperception.predictor import BackendPredictor
from mtperception.recording.recording import MessageListener, RecordedFrame, Recording
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


def predictions(
    predictor: BackendPredictor,
    recording: Recording,
    stopwatch: Stopwatch,
    on_message: MessageListener | None = None,
) -> Iterator[tuple[RecordedFrame, Prediction]]:
    """The frames of a recording with what a model says about them."""

    def listen(*message: Any) -> None:
        stopwatch.lap('reading')
        on_message(*message)
        stopwatch.lap('writing')

    for frame in recording.frames(on_message and listen):
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
        SourceError: if no image can be used.
        ValueError: if labels cannot be compared, or the predictor does not give maps of the size of the image.
    """
    if predictor.output_size != 'input':
        raise InputError(f'predictor with output_size {predictor.output_size!r}: expected input, the size of the truth')
    if recording.topics.labels:
        truth_space = truth_space or predictor.label_space
    grouping = truth_grouping(predictor.label_space, truth_space) if recording.topics.labels else None
    if grouping is not None:
        truth_space = predictor.label_space
    scorer = Scorer(predictor, truth_space if recording.topics.labels else None)
    _warm_up(predictor, recording)
    stopwatch, done, sizes, with_camera, with_pose = Stopwatch(), 0, set(), 0, 0
    for frame, prediction in predictions(predictor, recording, stopwatch, on_message):
        if grouping is not None and frame.labels is not None:
            frame = replace(frame, labels=grouping[frame.labels])
        try:
            scorer.add(frame, prediction)
        except ValueError as error:
            raise InputError(f'image {frame.index} of {recording.topics.image}: {error}') from error
        stopwatch.lap('scoring')
        if listeners:
            for listener in listeners:
                listener(frame, prediction)
            stopwatch.lap('writing')
        done += 1
        sizes.add(frame.image.shape[1::-1])
        with_camera += frame.intrinsics is not None
        with_pose += frame.T_world_camera is not None
        on_frame(done)
    if not done:
        raise SourceError(f'{recording.path}: no image can be used: {"; ".join(recording.notes)}')
    facts = _protocol(predictor, recording, sizes, with_camera, done)
    notes = recording.notes
    if with_pose and not with_camera:
        notes = (*notes, 'camera motion: known, but no image has a usable camera_info: no flicker without the motion')
    return scorer.result(stopwatch.seconds, {**facts, 'camera_poses': f'{with_pose} of {done} images'}, notes)


def _warm_up(predictor: BackendPredictor, recording: Recording) -> None:
    """Prepare the backend for the size of the first image, so that this does not count as prediction."""
    first = next(recording.frames(), None)
    if first is not None:
        height, width = first.image.shape[:2]
        predictor.prepare(width, height)


def _protocol(
    predictor: BackendPredictor, recording: Recording, sizes: set[tuple[int, int]], with_camera: int, done: int
) -> dict[str, Any]:
    backend = predictor.backend
    return {
        **recording.facts(),
        'image_sizes': [f'{width}x{height}' for width, height in sorted(sizes)],
        'network_size': f'{predictor.network_size[0]}x{predictor.network_size[1]}',
        'input': predictor.input_policy.description,
        'focal_scale': f"by the camera_info and the model's camera, for {with_camera} of {done} images",
        'depth_range': list(predictor.card.depth_range),
        **DEFINITIONS,
        'backend': f'{backend.name} on {backend.device}, {backend.precision}',
    }

# SPDX-License-Identifier: Apache-2.0
"""`mtperception replay --live`: a recording played to the node, over DDS."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from mtperception.card import ModelDirectory, ModelError
from mtperception.cli.notes import say_notes
from mtperception.cli.progress import progress
from mtperception.cli.session import MANAGED, NODE, PATIENCE_S, Session, log_folder, ros_session
from mtperception.errors import InputError, SourceError
from mtperception.messages.message import CAMERA_INFO
from mtperception.recording.first_pass import raw_header
from mtperception.recording.recording import Recording
from mtperception.recording.storage import StoredMessage
from mtperception.replay.live_answers import Answers, LiveRun, compared_outputs
from mtperception.replay.live_schedule import LONGEST_PAUSE_S, due_times

if TYPE_CHECKING:
    from mtperception.ros.bag_player import BagPlayer

PERIOD_S = 0.05
"""Between two looks at whether all is well."""
TRY_AGAIN_S = 2.0
"""After so long without an answer, the image that tries the node out is sent again."""
MAX_DELAY_S = 0.1
"""What is later than this moves the schedule; smaller delays are made up for."""


@dataclass(frozen=True)
class LivePlan:
    """How to play."""

    model: ModelDirectory
    backend: str
    device: str
    precision: str
    rate: float
    """Images per second; 0: as they were recorded."""


@contextmanager
def live_run(recording: Recording, plan: LivePlan) -> Iterator[LiveRun]:
    """Play all images of a recording to a node of its own; what it answered is there as long as this context lasts.

    Raises:
        ValueError: if the images cannot be told apart by their stamps.
        ImportError: without ROS 2.
        InterruptedRunError: at Ctrl-C, SIGTERM or SIGHUP.
    """
    due = due_seconds(recording, plan.rate)
    image = first_image(recording)
    with TemporaryDirectory() as folder:
        answers = Answers(Path(folder), [output.topic for output in compared_outputs(plan.model.card.tasks)])
        with log_folder('replay') as logs:
            run = _run(recording, image, due, plan, answers, logs)
        yield run


def _run(
    recording: Recording, image: np.ndarray, due: Sequence[float], plan: LivePlan, answers: Answers, logs: Path
) -> LiveRun:
    outputs = compared_outputs(plan.model.card.tasks)
    with ros_session(logs) as session:
        from mtperception.ros.bag_player import TRANSPORTS, BagPlayer
        from mtperception.ros.process import ros_context, spinning

        session.start_perception(_parameters(plan, TRANSPORTS[recording.image_kind]))
        with ros_context() as context:
            player = BagPlayer(context, recording.image_kind, outputs, answers)
            with spinning(player, threading.Event()):
                session.activate()
                _try_out(session, player, image, recording)
                _play(session, player, recording, due)
                _finish(session, player)
        return LiveRun(player.published, answers, session.backend(), session.latency_ms(), plan.rate)


def check_model(model: ModelDirectory) -> None:
    """Raise ModelError if no answer of the node with this model would be waited for and compared."""
    tasks = model.card.tasks
    if not compared_outputs(tasks):
        raise ModelError(
            f'--live: model {model.card.name} has {", ".join(tasks)}: expected one with segmentation or depth, whose '
            'answers are compared; leave --live out'
        )


def due_seconds(recording: Recording, rate: float) -> list[float]:
    """When each image is to be published, in seconds from the first one; where it is not as recorded, that is told.

    Args:
        recording: whose images are played.
        rate: images per second; 0: as they were recorded.

    Raises:
        InputError: if two images have the same stamp, or one has none: answers are told apart by it.
    """
    images = _messages(recording, recording.topics.image)
    times_ns = [(raw_header(data)[0], received_ns) for _, received_ns, data in images]
    _check_stamps(recording, [stamp_ns for stamp_ns, _ in times_ns])
    if rate:
        return [index / rate for index in range(len(times_ns))]
    due, pauses = due_times(times_ns)
    if pauses:
        most = f'{LONGEST_PAUSE_S:g} s'
        found = f'{pauses} of {len(due)} images are stamped more than {most} later than the one before'
        instead = f'they are played as much later as they were received, {most} at most'
        say_notes([f'{found}: was a clock set? Without --rate, {instead}'])
    return due


def _check_stamps(recording: Recording, stamps: Sequence[int]) -> None:
    alike = len(stamps) - len({stamp for stamp in stamps if stamp})
    if alike:
        raise InputError(
            f'{recording.path}: {alike} of {len(stamps)} images have no stamp or that of another image: --live tells '
            'their answers apart by it: leave --live out'
        )


def first_image(recording: Recording) -> np.ndarray:
    """uint8 H,W,3, RGB; raises SourceError if none can be used."""
    frame = next(recording.frames(), None)
    if frame is None:
        raise SourceError(f'{recording.path}: no usable image: {"; ".join(recording.notes)}')
    return frame.image


def _messages(recording: Recording, *topics: str) -> Iterator[StoredMessage]:
    """Messages of some topics, '' being none, without empty ones.

    A reliable subscription of Fast DDS gets nothing any more after a sample of zero bytes, whatever node it belongs to.
    """
    topics = [topic for topic in topics if topic]
    stored = recording.messages(topics) if topics else ()  # without any it would give the messages of all
    return (message for message in stored if len(message[-1]))


def _parameters(plan: LivePlan, transport: str) -> dict[str, str]:
    return {
        'model': str(plan.model.path),
        'backend': plan.backend,
        'device': plan.device,
        'precision': plan.precision,
        'image_transport': transport,
    }


def _try_out(session: Session, player: 'BagPlayer', image: np.ndarray, recording: Recording) -> None:
    """Send an image until it is answered: then all are connected, and the node is prepared for its size."""
    infos = (data for _, _, data in _messages(recording, recording.topics.camera_info))
    info = next(infos, None)
    session.monitor.wait_for(f'the node {MANAGED}', player.is_connected)
    if info is not None:
        player.publish_camera_info(info)
    sent = -np.inf

    def answered() -> bool:
        nonlocal sent
        if time.monotonic() - sent > TRY_AGAIN_S:
            player.try_out(image)
            sent = time.monotonic()
        return all(player.arrived.values())

    session.try_out(answered)
    session.wait_for_node()


def _play(session: Session, player: 'BagPlayer', recording: Recording, due: Sequence[float]) -> None:
    start, info = time.monotonic(), None
    with progress('playing', recording.count) as move:
        for connection, _, data in _messages(recording, recording.topics.image, recording.topics.camera_info):
            if connection.kind == CAMERA_INFO:
                info = data
                continue
            stamp_ns, _ = raw_header(data)
            start += _wait_until(start + due[len(player.published)], session.check)
            player.check()
            if info is not None:
                player.publish_camera_info(info)
                info = None
            player.publish_image(data, stamp_ns)
            move(len(player.published))


def _wait_until(due: float, check: Callable[[], None]) -> float:
    """Wait until a second of the monotonic clock; the delay to take over into the schedule."""
    check()
    while (left := due - time.monotonic()) > 0:
        time.sleep(min(left, PERIOD_S))
        check()
    return -left if -left > MAX_DELAY_S else 0.0


def _finish(session: Session, player: 'BagPlayer') -> None:
    """Let the node answer, and what it answers arrive, and stop it."""
    session.monitor.wait_until(player.is_delivered, PATIENCE_S)
    session.wait_for_node()
    session.monitor.wait_until(lambda: min(player.arrived.values()) >= session.frames_out, PATIENCE_S)
    player.check()
    session.started.stop(NODE)

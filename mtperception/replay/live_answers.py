# SPDX-License-Identifier: Apache-2.0
"""What a node answered when a recording was played to it, and how far that is from what is predicted offline."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mtperception.messages import image_to_bytes, image_to_depth
from mtperception.messages.outputs import Output, outputs_for
from mtperception.messages.parameters import default_settings
from mtperception.messages.presentation import Presentation
from mtperception.messages.products import Products
from mtperception.predictor import BackendPredictor
from mtperception.recording.first_pass import raw_header
from mtperception.recording.recording import RecordedFrame
from mtperception.replay.out_bag import bag_message
from mtperception.types import Prediction

COMPARED = ('depth/image', 'semantic/image')
"""Outputs that are recorded, as far as the model has them."""
END_TO_END = 'end_to_end'
"""Name of the latency from publishing an image to the arrival of all its answers."""


def compared_outputs(tasks: Collection[str]) -> list[Output]:
    """Those of `COMPARED` that a model with these tasks has."""
    return [output for output in outputs_for(tasks) if output.topic in COMPARED]


class Answers:
    """Messages that came back, by the stamp in their header. They are kept in files: memory would not do for long.

    Args:
        folder: an empty one.
        topics: where an image is answered.
    """

    def __init__(self, folder: Path, topics: Collection[str]) -> None:
        self._folder = folder
        self._arrived: dict[str, dict[int, float]] = {topic: {} for topic in topics}

    def add(self, topic: str, data: bytes, arrived: float) -> None:
        """Keep a serialised message that arrived at this second of the monotonic clock."""
        stamp_ns, _ = raw_header(data)
        self._file(topic, stamp_ns).write_bytes(data)
        self._arrived[topic][stamp_ns] = arrived

    def complete(self) -> set[int]:
        """Stamps that were answered on all topics."""
        return set.intersection(*map(set, self._arrived.values()))

    def arrival(self, stamp_ns: int) -> float:
        """When the last answer to a stamp of `complete` arrived."""
        return max(arrived[stamp_ns] for arrived in self._arrived.values())

    def load(self, topic: str, stamp_ns: int) -> bytes:
        """The answer to a stamp of `complete`."""
        return self._file(topic, stamp_ns).read_bytes()

    def _file(self, topic: str, stamp_ns: int) -> Path:
        return self._folder / f'{topic.replace("/", "_")}_{stamp_ns}'


@dataclass(frozen=True)
class LiveRun:
    """A recording that was played."""

    published: Mapping[int, float]
    """When each image was, by its stamp: monotonic seconds, in this order."""
    answers: Answers
    backend: Mapping[str, str]
    """Backend, device and precision of the node."""
    stages_ms: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """p50 and p99 of the stages inside the node, by its own account."""
    rate: float = 0.0
    """Images per second that were asked for; 0: as they were recorded."""

    def answered(self) -> list[int]:
        """Stamps of the images that were answered, in the order of their publication."""
        complete = self.answers.complete()
        return [stamp_ns for stamp_ns in self.published if stamp_ns in complete]

    def summary(self) -> dict[str, Any]:
        """Frames, rates in Hz and latencies in milliseconds; None where there are too few frames."""
        answered = self.answered()
        arrivals = sorted(map(self.answers.arrival, answered))
        delays_ms = [(self.answers.arrival(stamp_ns) - self.published[stamp_ns]) * 1e3 for stamp_ns in answered]
        p50, p99 = np.percentile(delays_ms, (50, 99)).tolist() if delays_ms else (None, None)
        return {
            'rate': self.rate or None,
            **self.backend,
            'frames_in': len(self.published),
            'frames_out': len(answered),
            'dropped': len(self.published) - len(answered),
            'input_rate': mean_rate(list(self.published.values())),
            'output_rate': mean_rate(arrivals),
            'latency_ms': {**self.stages_ms, END_TO_END: {'p50': p50, 'p99': p99}},
        }


def mean_rate(times: list[float]) -> float | None:
    """Events per second over the intervals between them; None with fewer than two.

    Args:
        times: seconds, ascending.
    """
    return (len(times) - 1) / (times[-1] - times[0]) if len(times) > 1 else None


class LiveComparison:
    """Compares answers of a node with its default settings with predictions made offline, frame by frame."""

    def __init__(self, run: LiveRun, predictor: BackendPredictor) -> None:
        from mtperception.recording.message_types import default_store

        self._answers = run.answers
        self._answered = set(run.answered())
        self._store = default_store()
        self._presentation = Presentation.build(default_settings(), predictor.card, predictor.label_space)
        self._outputs = compared_outputs(predictor.card.tasks)
        self._frames = 0
        self._equal = 0
        self._largest = {output.tasks[0]: 0.0 for output in self._outputs}

    def add(self, frame: RecordedFrame, prediction: Prediction) -> None:
        """Compare the prediction for a frame with the answer to it, if there was one."""
        if frame.stamp_ns not in self._answered:
            return
        products = Products(frame.image, prediction, frame.intrinsics, self._presentation)
        differences = {output.tasks[0]: self._difference(output, products, frame) for output in self._outputs}
        self._frames += 1
        self._equal += not any(differences.values())
        self._largest = {task: max(value, differences[task]) for task, value in self._largest.items()}

    def result(self) -> dict[str, float | None]:
        """Frames that were compared and those that are equal; the largest differences of a frame, None if none was.

        `labels` is the share of pixels with another id, `depth` metres, of a pixel that one side alone gives its own.
        """
        names = {'segmentation': 'labels', 'depth': 'depth'}
        largest = {names[task]: value if self._frames else None for task, value in self._largest.items()}
        return {'frames': self._frames, 'equal_frames': self._equal, **largest}

    def _difference(self, output: Output, products: Products, frame: RecordedFrame) -> float:
        data = self._answers.load(output.topic, frame.stamp_ns)
        live = self._store.deserialize_cdr(data, output.kind)
        offline = bag_message(self._store, output.make(products), frame.header)
        return _DIFFERENCES[output.topic](live, offline)


def _depth_difference(live: Any, offline: Any) -> float:
    return float(np.abs(image_to_depth(live) - image_to_depth(offline)).max())


def _label_difference(live: Any, offline: Any) -> float:
    return float(np.mean(image_to_bytes(live) != image_to_bytes(offline)))


_DIFFERENCES = {'depth/image': _depth_difference, 'semantic/image': _label_difference}

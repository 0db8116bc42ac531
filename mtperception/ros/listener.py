# SPDX-License-Identifier: Apache-2.0
"""A node that takes the three maps of each answered image, and notes when the last of them was there."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from mtperception.messages.stamps import stamp_of
from mtperception.ros.fixed_parameters import fixed, read_once
from mtperception.ros.frame_counter import FrameCounter
from mtperception.ros.process import run_until_told_to_end

NODE = 'listener'
TOPICS = ('depth/image', 'semantic/image', 'semantic/confidence')
PARAMETERS = (
    fixed('out', 'answers.npy', 'File for the stamps and arrivals; written when the process is told to end.'),
)
QUEUE = 16
"""Messages of a topic that may wait to be taken."""
MAX_INCOMPLETE = 16
"""Answers that may wait for a map to come; the oldest is given up."""


class Arrivals:
    """Finds the answers of which every map has come, in whatever order they come.

    Args:
        topics: the maps that make an answer.
    """

    def __init__(self, topics: Sequence[str]) -> None:
        self._topics = frozenset(topics)
        self._incomplete: dict[int, set[str]] = {}
        self.complete: list[tuple[int, int]] = []
        """Stamp of the image and arrival of its last map, both in nanoseconds of the system clock."""

    def add(self, topic: str, stamp_ns: int, arrival_ns: int) -> bool:
        """Note a map; whether it completes an answer."""
        there = self._incomplete.setdefault(stamp_ns, set())
        there.add(topic)
        if there >= self._topics:
            del self._incomplete[stamp_ns]
            self.complete.append((stamp_ns, arrival_ns))
            return True
        if len(self._incomplete) > MAX_INCOMPLETE:
            del self._incomplete[next(iter(self._incomplete))]
        return False


class Listener(Node):
    """Subscribes reliably, as a consumer does that must not miss a map. `close` writes what it noted.

    The stamps must be of this machine's clock, as those of `camera_player` are: then arrival - stamp is the latency
    from end to end.

    Raises:
        ValueError: for a parameter that cannot be.
    """

    def __init__(self) -> None:
        super().__init__(NODE)
        self._out = Path(read_once(self, PARAMETERS)['out'])
        self._arrivals = Arrivals(TOPICS)
        qos = QoSProfile(depth=QUEUE)
        for topic in TOPICS:
            self.create_subscription(Image, topic, lambda message, topic=topic: self._receive(topic, message), qos)
        self._counter = FrameCounter(self, 'complete')

    def close(self) -> None:
        """Write int64 N,2, a row for each complete answer: stamp and arrival, nanoseconds; raises OSError."""
        np.save(self._out, np.array(self._arrivals.complete, np.int64).reshape(-1, 2))

    def _receive(self, topic: str, message: Image) -> None:
        arrival_ns = time.time_ns()
        if self._arrivals.add(topic, stamp_of(message), arrival_ns):
            self._counter.add()


def main(arguments: Sequence[str] | None = None) -> int:
    """Listen until SIGINT or SIGTERM comes; the exit status."""
    return run_until_told_to_end(NODE, Listener, arguments)


if __name__ == '__main__':
    sys.exit(main())

# SPDX-License-Identifier: Apache-2.0
"""A count that others can read: on /diagnostics, where the parts of a robot say how they are."""

import time

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile

from mtperception.ros.statuses import OK, status, statuses_at

PERIOD_S = 0.5
MEAN_RATE = 'mean rate [Hz]'
"""Key of the report, beside that of what is counted."""
ACKNOWLEDGED = Duration(seconds=2)


class FrameCounter:
    """Counts something and reports it twice a second as the status `<name of the node>: frames`.

    Args:
        node: publishes it.
        key: what is counted.
    """

    def __init__(self, node: Node, key: str) -> None:
        self.count = 0
        self._first = self._last = 0.0
        self._node = node
        self._key = key
        self._publisher = node.create_publisher(DiagnosticArray, '/diagnostics', QoSProfile(depth=10))
        # By the steady clock: counting goes on while simulated time stands still.
        node.create_timer(PERIOD_S, self.report, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def add(self) -> None:
        """Count one, now."""
        self._last = time.monotonic()
        if self.count == 0:
            self._first = self._last
        self.count += 1

    @property
    def mean_rate(self) -> float:
        """How many a second from the first to the last; 0 with fewer than two."""
        seconds = self._last - self._first
        return (self.count - 1) / seconds if seconds > 0 else 0.0

    def report(self) -> None:
        """Publish the count, and the mean rate."""
        name = f'{self._node.get_fully_qualified_name()}: frames'
        values = {self._key: str(self.count), MEAN_RATE: f'{self.mean_rate:.3f}'}
        said = status(name, OK, f'{self.count} {self._key}', values)
        self._publisher.publish(statuses_at(self._node.get_clock().now().nanoseconds, [said]))

    def close(self) -> None:
        """Publish the last count and wait until every reader has it, for two seconds at most."""
        self.report()
        self._publisher.wait_for_all_acked(ACKNOWLEDGED)

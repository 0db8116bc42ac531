# SPDX-License-Identifier: Apache-2.0
"""A command's view of the graph: takes managed nodes through their life cycles and reads what the processes count."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.client import Client
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import QoSProfile

from mtperception.errors import LateError
from mtperception.ros.process import ros_context

CONFIGURE, ACTIVATE = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE
RESULTS = {CONFIGURE: State.PRIMARY_STATE_INACTIVE, ACTIVATE: State.PRIMARY_STATE_ACTIVE}
"""State after a transition that succeeded."""
PRIMARY_STATES = {
    State.PRIMARY_STATE_UNCONFIGURED,
    State.PRIMARY_STATE_INACTIVE,
    State.PRIMARY_STATE_ACTIVE,
    State.PRIMARY_STATE_FINALIZED,
}
STEP_S = 0.05
ANSWER_S = 2.0
"""After so long without an answer the state of the node is asked for, which may tell as much."""
APPEARS_WITHIN_S = 60.0
"""Far longer than any process needs to start: then it is the network that keeps them apart."""


class GraphMonitor:
    """A node in the thread of its caller: it works while one of its methods runs.

    Args:
        context: an initialised one.
        check: called again and again while waiting; raises to give up.
    """

    def __init__(self, context: Context, check: Callable[[], None]) -> None:
        self._check = check
        self._node = rclpy.create_node('graph_monitor', context=context)
        self._executor = SingleThreadedExecutor(context=context)
        self._executor.add_node(self._node)
        self._reports: dict[str, tuple[float, dict[str, str]]] = {}
        self._node.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, QoSProfile(depth=100))
        self._clients: dict[str, Client] = {}

    def change_state(self, node: str, transition: int) -> bool:
        """Ask a managed node for a transition, once it is there; whether it succeeded.

        A node that has not yet discovered who asks cannot answer, and the answer is lost: a service is ready when its
        client sees it, not when it sees its client (ros2/rmw_fastrtps#390). So its state counts as an answer, too.

        Args:
            node: its name, with its namespace.
            transition: CONFIGURE or ACTIVATE.

        Raises:
            LateError: if the node does not appear.
        """
        client = self._client(ChangeState, f'{node}/change_state')
        self.wait_for(f'the node {node}', client.service_is_ready)
        answer = client.call_async(ChangeState.Request(transition=Transition(id=transition)))
        earlier, state = None, None
        while not self.wait_until(answer.done, ANSWER_S):
            earlier, state = state, self._state(node)
            if state == RESULTS[transition]:
                return True
            # What the node says once may come before the transition, what it then says again does not.
            if state is not None and state == earlier:
                return False
        return answer.result().success

    def wait_for(self, what: str, is_there: Callable[[], bool]) -> None:
        """Listen until something that was started is there; raises LateError if it does not appear."""
        if not self.wait_until(is_there, APPEARS_WITHIN_S):
            raise LateError(
                f'{what} runs, but was not discovered within {APPEARS_WITHIN_S:.0f} s: processes of this machine must '
                'reach each other over the loopback interface: is multicast off there, or a firewall on?'
            )

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = float('inf')) -> bool:
        """Listen until the condition holds; False if that takes longer than the timeout."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            self._check()
            if time.monotonic() >= deadline:
                return False
            self._executor.spin_once(timeout_sec=STEP_S)
        return True

    def reported(self, status: str, since: float = 0.0) -> bool:
        """Whether a status has been on /diagnostics since a time of the monotonic clock."""
        return status in self._reports and self._reports[status][0] >= since

    def values(self, status: str) -> dict[str, str]:
        """The newest values of a status; empty before the first."""
        return self._reports[status][1] if status in self._reports else {}

    def count(self, status: str, key: str) -> int:
        """A count among them; 0 before the first."""
        return int(self.values(status).get(key, 0))

    def number(self, status: str, key: str) -> float:
        """One that is not a count; 0 before the first."""
        return float(self.values(status).get(key, 0))

    def latency_ms(self, status: str) -> dict[str, dict[str, float]]:
        """p50 and p99 by stage, as the node measured them that reports this status."""
        stages: dict[str, dict[str, float]] = {}
        for key, value in self.values(status).items():
            found = re.fullmatch(r'(\w+) (p50|p99) \[ms\]', key)
            if found:
                stages.setdefault(found[1], {})[found[2]] = float(value)
        return stages

    def close(self) -> None:
        """Leave the graph."""
        self._executor.shutdown()
        self._node.destroy_node()

    def _client(self, service_type: type, service: str) -> Client:
        if service not in self._clients:
            self._clients[service] = self._node.create_client(service_type, service)
        return self._clients[service]

    def _state(self, node: str) -> int | None:
        """The id of a node's state, if it is not between two and says so in time."""
        client = self._client(GetState, f'{node}/get_state')
        answer = client.call_async(GetState.Request())
        if not self.wait_until(answer.done, ANSWER_S):
            client.remove_pending_request(answer)
            return None
        state = answer.result().current_state.id
        return state if state in PRIMARY_STATES else None

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self._reports[status.name] = time.monotonic(), {pair.key: pair.value for pair in status.values}


@contextmanager
def graph_monitor(check: Callable[[], None]) -> Iterator[GraphMonitor]:
    """A monitor with a ROS context of its own, which leaves the signals alone."""
    with ros_context() as context, closing(GraphMonitor(context, check)) as monitor:
        yield monitor

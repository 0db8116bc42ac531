# SPDX-License-Identifier: Apache-2.0
"""Services whose answer takes long, and a node that goes on meanwhile."""

from collections.abc import Callable
from functools import partial

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

Answer = Callable[[bool, str], None]
"""Says whether it succeeded, and a message; called once, in any thread."""

FAREWELL_S = 1.0
"""That a service stays after its last answer: one that leaves at once takes it along."""


class DeferredTrigger:
    """A std_srvs/Trigger service that another thread answers. A request while one is running is refused at once.

    Args:
        node: owns the service.
        name: of the service.
        start: called in the executor's thread, returns at once; whoever does the work calls the answer.
    """

    def __init__(self, node: Node, name: str, start: Callable[[Answer], None]) -> None:
        self._node, self._name, self._start = node, name, start
        self._pending: Future | None = None
        self._destroyed = False
        # A group of its own: an answer that is awaited holds up the others of its group.
        self._service = node.create_service(Trigger, name, self._serve, callback_group=ReentrantCallbackGroup())

    def destroy(self) -> None:
        """Leave the graph; who waits for an answer is told first."""
        self._destroyed = True
        if self._pending is None:
            self._node.destroy_service(self._service)
        else:
            self._answer(self._pending, False, 'the node was cleaned up before this was finished')

    async def _serve(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._destroyed:
            response.success, response.message = False, 'the node was cleaned up: ask again once it is configured'
            return response
        if self._pending is not None:
            response.success = False
            response.message = f'an earlier {self._name} is still running: ask again when it has been answered'
            return response
        self._pending = Future()
        self._start(partial(self._answer, self._pending))
        response.success, response.message = await self._pending
        self._pending = None
        if self._destroyed:  # after the response, which the executor sends when this returns, has left
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self._farewell = self._node.create_timer(FAREWELL_S, self._leave, clock=steady)
        return response

    def _leave(self) -> None:
        self._node.destroy_timer(self._farewell)
        self._node.destroy_service(self._service)

    def _answer(self, pending: Future, success: bool, message: str) -> None:
        if pending.done():
            return
        pending.set_result((success, message))
        executor = self._node.executor
        if executor is not None:
            executor.wake()  # it looks at what it awaits only when something happens

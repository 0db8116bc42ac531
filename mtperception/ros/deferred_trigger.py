# SPDX-License-Identifier: Apache-2.0
"""Services whose answer takes long, and a node that goes on meanwhile."""

from collections.abc import Callable
from functools import partial

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

Answer = Callable[[bool, str], None]
"""Says whether it succeeded, and a message; called once, in any thread."""


class DeferredTrigger:
    """A std_srvs/Trigger service that another thread answers. A request while one is running is refused at once.

    It stays on the graph as long as the node, also while nobody serves it: an answer on its way would go with it.

    Args:
        node: owns the service.
        name: of the service.
    """

    def __init__(self, node: Node, name: str) -> None:
        self._node, self._name = node, name
        self._start: Callable[[Answer], None] | None = None
        self._pending: Future | None = None
        # A group of its own: an answer that is awaited holds up the others of its group.
        node.create_service(Trigger, name, self._serve, callback_group=ReentrantCallbackGroup())

    def serve(self, start: Callable[[Answer], None]) -> None:
        """Let this do the work from now on.

        Args:
            start: called in the executor's thread, returns at once; whoever does the work calls the answer.
        """
        self._start = start

    def stop(self) -> None:
        """Refuse requests from now on; who waits for an answer is told."""
        self._start = None
        if self._pending is not None:
            self._answer(self._pending, False, 'the node was cleaned up before this was finished')
            self._pending = None

    async def _serve(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self._start is None:
            response.success, response.message = False, 'the node is not configured: ask again once it is'
            return response
        if self._pending is not None:
            response.success = False
            response.message = f'an earlier {self._name} is still running: ask again when it has been answered'
            return response
        self._pending = pending = Future()
        self._start(partial(self._answer, pending))
        response.success, response.message = await pending
        if self._pending is pending:
            self._pending = None
        return response

    def _answer(self, pending: Future, success: bool, message: str) -> None:
        if pending.done():
            return
        pending.set_result((success, message))
        executor = self._node.executor
        if executor is not None:
            executor.wake()  # it looks at what it awaits only when something happens

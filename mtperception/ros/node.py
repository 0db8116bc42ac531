# SPDX-License-Identifier: Apache-2.0
"""What the managed (lifecycle) nodes of this package share, whatever they do."""

import gc
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial, wraps
from typing import Generic, Protocol, TypeVar

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher

from mtperception.errors import MTPerceptionError
from mtperception.messages.parameter_table import ParameterTable
from mtperception.ros.logs import NodeLogs
from mtperception.ros.parameters import NodeParameters
from mtperception.ros.qos import QosWarnings

AUTOSTART_DELAY_S = 0.01
DIAGNOSTICS_PERIOD_S = 1.0
UNCONFIGURED = 'unconfigured'
"""Label of the state."""
FAILURES = (MTPerceptionError, OSError, ParameterException)
"""What settings and models that cannot be used raise; anything else is a fault of the node and keeps its traceback."""
Settings = TypeVar('Settings')


class Component(Protocol[Settings]):
    """What a managed node has from configure to cleanup: it does the work.

    None of its methods waits for work in hand, for as long as they run no service of the node answers.
    """

    settings: Settings
    description: str
    """One line, for the log."""

    def check(self, settings: Settings) -> None:
        """Raise InputError if it cannot follow these settings."""

    def apply(self, settings: Settings) -> None:
        """Follow these settings, which `check` accepts, from now on."""

    def activate(self) -> None:
        """Start to listen and to answer; one of FAILURES, and nothing left on the graph, if that is not possible."""

    def deactivate(self) -> None:
        """Stop listening."""

    def release(self) -> None:
        """Stop, if it is active, and leave the graph; let go of memory, at once or when the work in hand is done."""

    def diagnostics(self) -> DiagnosticArray:
        """How it is now."""


Configure = Callable[['ManagedNode', Settings], Component[Settings]]
"""Makes the component; raises one of FAILURES, with nothing left on the graph, if that is not possible."""
Transition = Callable[['ManagedNode', LifecycleState], TransitionCallbackReturn]


def _reported(transition: Transition) -> Transition:
    """A transition that says what it raises: rclpy, which then calls it failed, does not."""

    @wraps(transition)
    def run(node: 'ManagedNode', state: LifecycleState) -> TransitionCallbackReturn:
        with node.logs.attributed():
            try:
                return transition(node, state)
            except Exception as error:
                node.get_logger().error(f'{transition.__name__}: {type(error).__name__}: {error}')
                node.get_logger().error(traceback.format_exc())
                raise

    return run


class ManagedNode(LifecycleNode, Generic[Settings]):
    """A lifecycle node: declares its parameters, starts by itself if it is to, and hands its work to a component.

    Args:
        name: unless it is renamed.
        table: its parameters; one of them is `autostart`.
        configure: makes the component of settings.
    """

    def __init__(self, name: str, table: ParameterTable[Settings], configure: Configure) -> None:
        super().__init__(name)
        self.logs = NodeLogs(self.get_logger())
        self.qos_warnings = QosWarnings(self.get_logger())
        self._configure = configure
        self._component: Component[Settings] | None = None
        self._known_parameters = NodeParameters(self, table)
        self.add_on_set_parameters_callback(self._check_change)
        self.add_post_set_parameters_callback(self._apply_change)
        self._refuse_unknown_transitions()
        # By the steady clock: a start, and diagnostics, go on while simulated time stands still.
        self._steady = Clock(clock_type=ClockType.STEADY_TIME)
        if self.get_parameter('autostart').value:
            self._autostart = self.create_timer(AUTOSTART_DELAY_S, self._start, clock=self._steady)

    # Transitions

    @_reported
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters and make the component; FAILURE with one line if that is not possible."""
        try:
            self._build()
        except FAILURES as error:
            return self._failure('configure', error)
        self.get_logger().info(f'configured: {self._component.description}')
        return super().on_configure(state)

    @_reported
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start to listen and to answer; FAILURE with one line if the subscriptions cannot be made."""
        result = super().on_activate(state)
        try:
            self._component.activate()
        except FAILURES as error:
            super().on_deactivate(state)
            return self._failure('activate', error)
        return result

    @_reported
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop listening, and publishing."""
        self._component.deactivate()
        return super().on_deactivate(state)

    @_reported
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the component with its memory and its publishers."""
        self._release()
        return super().on_cleanup(state)

    @_reported
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and release."""
        self._release()
        return super().on_shutdown(state)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Back to unconfigured."""
        self.get_logger().error(f'a transition from {state.label} failed: back to unconfigured')
        self._release()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """Stop, release and leave the graph."""
        self._release()
        self.logs.close()
        super().destroy_node()

    def _start(self) -> None:
        """Configure and activate: the autostart, once the executor runs."""
        self.destroy_timer(self._autostart)
        is_new = self._state_machine.current_state[1] == UNCONFIGURED
        if is_new and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def _failure(self, transition: str, error: Exception) -> TransitionCallbackReturn:
        """Log an error as one line, where it comes from for those who debug."""
        self.get_logger().debug(''.join(traceback.format_exception(error)))
        self.get_logger().error(' '.join(f'cannot {transition}: {error}'.split()))
        return TransitionCallbackReturn.FAILURE

    def _build(self) -> None:
        with ExitStack() as undo:  # what fails half-way leaves nothing behind
            component = self._configure(self, self._known_parameters.read())
            undo.callback(component.release)
            publisher = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
            undo.callback(self.destroy_publisher, publisher)
            report = partial(_report, component, publisher)
            undo.callback(self.destroy_timer, self.create_timer(DIAGNOSTICS_PERIOD_S, report, clock=self._steady))
            self._component, self._undo = component, undo.pop_all()

    def _release(self) -> None:
        if self._component is None:
            return
        self._component = None
        self._undo.close()
        gc.collect()  # its parts know each other: without this their memory stays until Python thinks of it

    def _refuse_unknown_transitions(self) -> None:
        """Answer requests for a transition that the state does not have; rclpy raises (ros2/rclpy#1209)."""
        service = self._service_change_state  # rclpy has no other way to it
        change_state = service.callback

        def answer(request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
            transition = request.transition
            possible = {id_: label for id_, label, *_ in self._state_machine.available_transitions}
            if not transition.label and transition.id not in possible:
                expected = ', '.join(f'{id_} ({label})' for id_, label in possible.items()) or 'none'
                state = self._state_machine.current_state[1]
                self.get_logger().warning(
                    f'refused: transition {transition.id} in state {state}, expected one of: {expected}'
                )
                response.success = False
                return response
            return change_state(request, response)

        service.callback = answer

    # Parameters

    def _check_change(self, changes: list[Parameter]) -> SetParametersResult:
        try:
            with self.logs.attributed():
                if self._component is None:
                    self._known_parameters.check(changes)
                else:
                    self._component.check(self._known_parameters.with_changes(self._component.settings, changes))
        except FAILURES as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_change(self, changes: list[Parameter]) -> None:
        self._known_parameters.note(changes)
        if self._component is not None:
            with self.logs.attributed():
                self._component.apply(self._known_parameters.read())


def _report(component: Component, publisher: Publisher) -> None:
    publisher.publish(component.diagnostics())

# SPDX-License-Identifier: Apache-2.0
"""A node as a process that ends in order, whatever ends it."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from types import FrameType
from typing import Protocol

import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

ENDS_WITH_INPUT = 'MTPERCEPTION_ENDS_WITH_INPUT'
"""Environment variable: set, a node ends when its standard input does, which is when the process that holds it is gone,
however that ended."""
SWITCH_INTERVAL_S = 1e-4
"""A waiting thread gets the interpreter after this long, not after Python's 5 ms: what the executor does between two
messages would hold up the worker, and with it each image, by 0.3 ms."""


class Stop(threading.Event):
    """Set when a process is to end."""

    signal: int = signal.SIGINT
    """The signal that asked for it."""


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """An event that SIGINT, SIGTERM and SIGHUP set, in place of what they do otherwise."""
    stop = Stop()

    def end(number: int, _: FrameType | None) -> None:
        stop.signal = number
        stop.set()

    previous = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def ros_context() -> Iterator[Context]:
    """A context of rclpy of one's own, which leaves the signals alone."""
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    try:
        yield context
    finally:
        context.try_shutdown()


@contextmanager
def ros_process(arguments: Sequence[str] | None = None) -> Iterator[Stop]:
    """Initialise rclpy, and have threads take turns often; yields the event of `stop_on_signals`.

    rclpy's own handlers shut the context down at once: then nothing more can be published, not even how it ended.

    Args:
        arguments: those of the process, by default `sys.argv`.

    Raises:
        SystemExit: if ROS does not take its arguments, or cannot read a file of parameters; with the reason.
    """
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with stop_on_signals() as stop:
        if ENDS_WITH_INPUT in os.environ:
            threading.Thread(target=_stop_after_input, args=(stop,), daemon=True).start()
        try:
            rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
        except RuntimeError as error:  # of rcl, whose types have no public names
            raise SystemExit(f'error: ROS cannot start: {type(error).__name__}: {error}') from error
        try:
            yield stop
        finally:
            rclpy.try_shutdown()


def _stop_after_input(stop: threading.Event) -> None:
    while os.read(0, 1):  # unbuffered: a buffer's lock would be held when the interpreter ends
        pass
    stop.set()


@contextmanager
def spinning(node: Node, stop: threading.Event) -> Iterator[None]:
    """Answer a node's callbacks in a thread of its own; destroy the node at the end.

    The main thread is left to wait, because only it is woken by signals. If a callback raises, `stop` is set, and the
    exception comes out of this context.
    """
    executor = SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    ended = threading.Event()
    with ThreadPoolExecutor(1, 'executor') as thread:
        running = thread.submit(_spin, executor, ended)
        running.add_done_callback(lambda _: stop.set())
        try:
            yield
        finally:
            ended.set()  # executor.shutdown would take the executor apart under its running thread
            executor.create_task(ended.is_set)  # something to do: that wakes it
            wait([running])
            executor.shutdown()
            node.destroy_node()
    running.result()


def _spin(executor: SingleThreadedExecutor, ended: threading.Event) -> None:
    """Execute callbacks until the event is set.

    rclpy's `spin_until_future_complete` adds a callback to its future on every turn and keeps them all.
    """
    while executor.context.ok() and not ended.is_set():
        executor.spin_once()


class ClosingNode(Protocol):
    """A node that has something to finish at its end."""

    def close(self) -> None:
        """Finish it; raises OSError or ValueError if that cannot be."""


def run_until_told_to_end(name: str, make: Callable[[], ClosingNode], arguments: Sequence[str] | None = None) -> int:
    """Run a node as a process until SIGINT or SIGTERM comes, and close it.

    Args:
        name: of the node, for the log.
        make: the node; raises OSError or ValueError if it cannot be.
        arguments: those of the process, by default `sys.argv`.

    Returns:
        The exit status; 1 after an error, which is logged.
    """
    with ros_process(arguments) as stop:
        try:
            node = make()
            with closing(node), spinning(node, stop):
                stop.wait()
        except (OSError, ValueError) as error:
            get_logger(name).fatal(str(error))
            return 1
    return 0

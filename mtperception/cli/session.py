# SPDX-License-Identifier: Apache-2.0
"""A managed node as a command needs it: started, made active, observed, and ended with all that goes with it."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

import typer

from mtperception.card import ModelDirectory, ModelError, open_model
from mtperception.cli.node_processes import Parameters, Processes, processes
from mtperception.cli.progress import progress
from mtperception.errors import LateError, MissingPackageError, RunError
from mtperception.messages.parameters import NODE_NAME

if TYPE_CHECKING:
    from mtperception.ros.graph_monitor import GraphMonitor

NODE, PLAYER = 'perception_node', 'camera_player'
MANAGED = f'/{NODE_NAME}'
"""Name of the managed node, with its namespace."""
PATIENCE_S = 10.0
"""How long the last frames may take to be answered, and what is published to arrive."""
PREPARED_WITHIN_S = 900.0
"""Time limit for the first answer: some libraries build an engine for minutes."""
SETTLED_S = 0.5
"""After so long the node has taken notice of a message that reached its process."""


class InterruptedRunError(Exception):
    """The run was asked to end, by Ctrl-C or another signal.

    Args:
        signal: its number.
    """

    def __init__(self, signal: int) -> None:
        super().__init__(f'ended by signal {signal}')
        self.status = 128 + signal
        """Exit status."""


@dataclass(frozen=True)
class Session:
    """What runs."""

    started: Processes
    monitor: 'GraphMonitor'
    check: Callable[[], None]
    """Raises if a process has ended, or the command is to end."""

    def start_perception(self, parameters: Parameters) -> None:
        """Start the node, which then waits to be configured."""
        # The default, best effort, is for cameras that others wrote. Without retransmission, an image that does not
        # fit into the middleware's buffers at once is lost; here the frames are to be counted, not those buffers.
        topics = ('image', 'image/compressed', 'camera_info')
        reliable = {f'qos_overrides./{topic}.subscription.reliability': 'reliable' for topic in topics}
        self.started.start_node(NODE, {'autostart': False, **reliable, **parameters})

    def change_state(self, transition: int) -> None:
        """Take the node through a transition; raises RunError, with what it says, if it refuses."""
        if not self.monitor.change_state(MANAGED, transition):
            raise RunError(f'the node refuses to start: {self.started.last_error(NODE)}')

    def activate(self, *companions: str) -> None:
        """Configure the node, wait until other processes have been heard of, and make it active."""
        from mtperception.ros.graph_monitor import ACTIVATE, CONFIGURE

        with progress('starting the node', None):
            self.change_state(CONFIGURE)
            for name in companions:
                self.monitor.wait_for(f'the {name}', lambda name=name: self.monitor.reported(f'/{name}: frames'))
            self.change_state(ACTIVATE)

    def try_out(self, answered: Callable[[], bool]) -> None:
        """Wait for the answer to the first image: then all are connected, and the node is prepared for its size.

        Args:
            answered: whether it has arrived; called again and again, so that it may send the image again.

        Raises:
            RuntimeError: if the node refuses the image.
            LateError: if nothing comes of it.
        """
        monitor = self.monitor

        def refused() -> int:
            return monitor.count(self.status('input'), 'refused')

        with progress("waiting for the node's first answer", None):
            is_over = monitor.wait_until(lambda: bool(answered() or refused()), PREPARED_WITHIN_S)
        if refused():
            raise RunError(f'the node refuses the images: {monitor.values(self.status("input"))["last reason"]}')
        if not is_over:
            raise LateError(f'the node has answered nothing in {PREPARED_WITHIN_S:g} s: {self.started.last_line(NODE)}')

    def wait(self, description: str, seconds: float) -> None:
        """Let the processes work for some time, under a progress bar."""
        start = time.monotonic()
        with progress(description, seconds) as move:

            def over() -> bool:
                move(time.monotonic() - start)
                return time.monotonic() - start >= seconds

            self.monitor.wait_until(over)

    def drain(self, reader: str, key: str) -> None:
        """Stop the player; let the node answer what is under way, and the process that reads the answers take them.

        Args:
            reader: its name.
            key: what it counts, one for each answer.
        """
        self.started.stop(PLAYER)
        self.wait_for_node()
        monitor = self.monitor
        monitor.wait_until(lambda: monitor.count(f'/{reader}: frames', key) >= self.frames_out, PATIENCE_S)

    def wait_for_node(self) -> None:
        """Let the node answer what has reached it."""
        settled = time.monotonic() + SETTLED_S
        monitor = self.monitor

        def answered() -> bool:
            done = sum(monitor.count(self.status('processing'), key) for key in ('frames out', 'dropped'))
            done += monitor.count(self.status('input'), 'refused')
            received = monitor.count(self.status('input'), 'frames in')
            return monitor.reported(self.status('processing'), since=settled) and done >= received

        monitor.wait_until(answered, PATIENCE_S)

    @property
    def frames_out(self) -> int:
        """How many frames the node has answered, by its latest report."""
        return self.monitor.count(self.status('processing'), 'frames out')

    def status(self, part: str) -> str:
        """The name under which the node reports a part of its diagnostics."""
        return f'{MANAGED}: {part}'

    def latency_ms(self) -> dict[str, dict[str, float]]:
        """p50 and p99 by stage, as the node measured them."""
        return self.monitor.latency_ms(self.status('processing'))

    def backend(self) -> dict[str, str]:
        """Backend, device and precision that the node runs with."""
        model = self.monitor.values(self.status('model'))
        return {key: model.get(key, '') for key in ('backend', 'device', 'precision')}


def open_joint_model(model: str) -> ModelDirectory:
    """A model, by directory or name, that has both tasks; raises ModelError otherwise."""
    directory = open_model(model)
    if not {'segmentation', 'depth'} <= set(directory.card.tasks):
        tasks = ', '.join(directory.card.tasks)
        raise ModelError(f'model {model} has {tasks}: expected one with segmentation and depth')
    return directory


@contextmanager
def log_folder(command: str) -> Iterator[Path]:
    """A folder for what the processes of a command say; it stays only after an error, whose message may name it."""
    folder = Path(mkdtemp(prefix=f'mtperception_{command}_'))
    kept = True
    try:
        yield folder
        kept = False
    except InterruptedRunError:
        kept = False
        raise
    finally:
        if not (kept and any(folder.iterdir())):
            shutil.rmtree(folder)


@contextmanager
def ros_session(logs: Path) -> Iterator[Session]:
    """A ROS domain that no other process uses. Whatever ends this context, no process outlives it.

    Args:
        logs: folder for what the processes say.

    Raises:
        ImportError: without ROS 2.
        InterruptedRunError: at SIGINT, SIGTERM or SIGHUP.
    """
    try:
        from mtperception.ros.domain import free_domain_id
        from mtperception.ros.graph_monitor import graph_monitor
        from mtperception.ros.process import stop_on_signals
    except ImportError as error:
        raise MissingPackageError(
            f'this needs ROS 2 ({error}): source an installation, or pip install "mtperception[ros]"'
        ) from error

    domain = {'ROS_DOMAIN_ID': str(free_domain_id()), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    os.environ.update(domain)
    variables = ' '.join(f'{name}={value}' for name, value in domain.items())
    typer.echo(f'To watch in rviz2, run: {variables} rviz2', err=True)
    with stop_on_signals() as stop, processes(logs) as started:

        def check() -> None:
            started.check()
            if stop.is_set():
                stop.clear()  # once more, while the results are collected, ends that too
                raise InterruptedRunError(stop.signal)

        with graph_monitor(check) as monitor:
            yield Session(started, monitor, check)

"""The perception node under the eyes of a command: started, made active, and ended with all that goes with it."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mtperception.cli.processes import Processes, processes

if TYPE_CHECKING:
    from mtperception.ros.graph_monitor import GraphMonitor

NODE = 'perception_node'
PATIENCE_S = 10.0
"""How long the last frames may take to be answered, and what is published to arrive."""
SETTLED_S = 0.5
"""After so long the node has taken notice of a message that reached its process."""
INTERRUPTED = 130
"""Exit status."""


class InterruptedRunError(Exception):
    """Ctrl-C."""


@dataclass(frozen=True)
class Session:
    """What runs."""

    started: Processes
    monitor: 'GraphMonitor'
    check: Callable[[], None]
    """Raises if a process has ended, or the command is to end."""

    def start_perception(self, parameters: Mapping[str, str | float | bool]) -> None:
        """Start the node, which then waits to be configured."""
        # The default, best effort, is for cameras that others wrote. Without retransmission, an image that does not
        # fit into the middleware's buffers at once is lost; here the frames are to be counted, not those buffers.
        topics = ('image', 'image/compressed', 'camera_info')
        reliable = {f'qos_overrides./{topic}.subscription.reliability': 'reliable' for topic in topics}
        self.started.start_node(NODE, {'autostart': False, **reliable, **parameters})

    def change_state(self, transition: int) -> None:
        """Take the node through a transition; raises OSError, with what it says, if it refuses."""
        if not self.monitor.change_state(transition):
            raise OSError(f'the node refuses to start: {self.started.last_line(NODE)}')

    def wait_for_node(self) -> None:
        """Let the node answer what has reached it."""
        settled = time.monotonic() + SETTLED_S
        monitor = self.monitor

        def answered() -> bool:
            done = sum(monitor.count('/perception: processing', key) for key in ('frames out', 'dropped'))
            done += monitor.count('/perception: input', 'refused')
            received = monitor.count('/perception: input', 'frames in')
            return monitor.reported('/perception: processing', since=settled) and done >= received

        monitor.wait_until(answered, PATIENCE_S)

    @property
    def frames_out(self) -> int:
        """How many frames the node has answered, by its latest report."""
        return self.monitor.count('/perception: processing', 'frames out')

    def backend(self) -> dict[str, str]:
        """Backend, device and precision that the node runs with."""
        model = self.monitor.values('/perception: model')
        return {key: model.get(key, '') for key in ('backend', 'device', 'precision')}


@contextmanager
def ros_session(logs: Path) -> Iterator[Session]:
    """A ROS domain that nobody else is in. Whatever ends this context, no process outlives it.

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
        raise ImportError(
            f'this needs ROS 2 ({error}): source an installation, or pip install "mtperception[ros]"'
        ) from error

    domain = {'ROS_DOMAIN_ID': str(free_domain_id()), 'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'}
    os.environ.update(domain)
    typer.echo(f'to look in: {" ".join(f"{name}={value}" for name, value in domain.items())} rviz2', err=True)
    with stop_on_signals() as stop, processes(logs) as started:

        def check() -> None:
            started.check()
            if stop.is_set():
                stop.clear()  # once more, while the results are collected, ends that too
                raise InterruptedRunError

        with graph_monitor(check) as monitor:
            yield Session(started, monitor, check)

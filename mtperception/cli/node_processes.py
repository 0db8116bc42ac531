# SPDX-License-Identifier: Apache-2.0
"""Processes that a command starts and that do not outlive it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mtperception.errors import MTPerceptionError

Escalation = Sequence[tuple[signal.Signals, float]]
"""What a process is told to make it end, and the seconds that it is given."""
ESCALATION: Escalation = ((signal.SIGINT, 8.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0))

Parameters = Mapping[str, str | float | bool | Sequence[int]]
"""Parameters of a ROS node, by name."""


class ProcessEndedError(MTPerceptionError, OSError):
    """A process that ended though it was still needed; the message has the last it said."""


class Processes:
    """ROS nodes of this package as processes, each with a log file.

    Each is in a process group of its own: Ctrl-C in a terminal reaches this process only, which then ends the others
    in order. If this process is killed instead, their standard input ends, at which they end by themselves.

    Args:
        log_folder: where the log files are; it exists.
        escalation: what ends a process.
    """

    def __init__(self, log_folder: Path, escalation: Escalation = ESCALATION) -> None:
        self._log_folder = log_folder
        self._escalation = escalation
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start_node(self, name: str, parameters: Parameters) -> subprocess.Popen[bytes]:
        """Run the module `mtperception.ros.<name>` as a ROS node; its process, which `stop` ends."""
        from mtperception.ros.process import ENDS_WITH_INPUT

        # JSON is YAML in which a text stays a text, whatever it looks like; but YAML does not know JSON's surrogates.
        written = {key: json.dumps(value, ensure_ascii=False) for key, value in parameters.items()}
        arguments = [text for key, value in written.items() for text in ('-p', f'{key}:={value}')]
        with self.log(name).open('wb') as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, '-m', f'mtperception.ros.{name}', '--ros-args', *arguments],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, ENDS_WITH_INPUT: '1'},
            )
        return self._running[name]

    def log(self, name: str) -> Path:
        """The file with what a process says."""
        return self._log_folder / f'{name}.log'

    def last_line(self, name: str) -> str:
        """The last that a process said, without the level, time and name of the log, and where to find more."""
        lines = self.log(name).read_text(encoding='utf-8', errors='replace').strip().splitlines()
        said = re.sub(r'^\[\w+\] \[[\d.]+\] \[[\w.]+\]: ', '', lines[-1]) if lines else 'it said nothing'
        return f'{said} (more in {self.log(name)})'

    def last_error(self, name: str) -> str:
        """The last error that a node has logged, as `last_line`: libraries may have written something after it."""
        errors = self._logged('ERROR', r'[\w.]+', name)
        return f'{errors[-1]} (more in {self.log(name)})' if errors else self.last_line(name)

    def warnings(self, name: str) -> list[str]:
        """What a node has warned of so far, such as damaged images, without the level, time and name of the log."""
        return self._logged('WARN', name, name)

    def _logged(self, level: str, logger: str, name: str) -> list[str]:
        """What was logged at a level by the loggers of a pattern, in the log of a process."""
        log = self.log(name).read_text(encoding='utf-8', errors='replace')
        return re.findall(rf'^\[{level}\] \[[\d.]+\] \[{logger}\]: (.*)$', log, re.MULTILINE)

    def check(self) -> None:
        """Raise ProcessEndedError if one has ended that nobody stopped."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise ProcessEndedError(f'{name} ended with status {process.returncode}: {self.last_line(name)}')

    def stop(self, *names: str) -> None:
        """End processes, at the same time; returns when they are gone."""
        stopped = ending = [self._running.pop(name) for name in names]
        for number, patience_s in self._escalation:
            ending = [process for process in ending if process.poll() is None]
            for process in ending:
                os.killpg(process.pid, number)
            deadline = time.monotonic() + patience_s
            while any(process.poll() is None for process in ending) and time.monotonic() < deadline:
                time.sleep(0.02)
        for process in stopped:
            process.stdin.close()

    def stop_all(self) -> None:
        """End those that still run."""
        self.stop(*self._running)


@contextmanager
def processes(log_folder: Path, escalation: Escalation = ESCALATION) -> Iterator[Processes]:
    """Processes that are ended with this context; the folder is created if it is missing."""
    log_folder.mkdir(parents=True, exist_ok=True)
    started = Processes(log_folder, escalation)
    try:
        yield started
    finally:
        started.stop_all()

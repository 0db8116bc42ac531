# SPDX-License-Identifier: Apache-2.0
"""How a command ends that does not come to its end: by a fault of what it was given, by one of ours, by a signal."""

import math
import os
import platform
import shlex
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from types import FrameType

from mtperception import __version__
from mtperception.atomic_write import DISK_ERRORS
from mtperception.errors import MTPerceptionError

MAX_LENGTH = 2000
"""Characters of a message: some errors repeat what they were given."""
PATIENCE = 10.0
"""Seconds after a signal during which further ones are ignored."""


def explain(error: Exception, arguments: Sequence[str]) -> str:
    """What to say of an error in one line.

    Faults of what was given say what they are, and so do the system's about a file or a disk. Anything else is a fault
    of the package: its traceback is kept in a file, which the line names.

    Args:
        error: that ended the command.
        arguments: of the command line.
    """
    if isinstance(error, MTPerceptionError):
        text = str(error)
    elif isinstance(error, OSError) and error.filename is not None:
        text = f'{_named(error.filename)}: {error.strerror}'
    elif isinstance(error, OSError) and error.errno in DISK_ERRORS:
        text = f'{error.strerror}: expected space on the disks of the output and of {os.environ.get("TMPDIR", "/tmp")}'
    else:
        where = _keep_traceback(error, arguments)
        text = f'internal error in mtperception: {type(error).__name__}: {error}. {where}: please report it'
    return ' '.join(text.split())[:MAX_LENGTH]


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does: what is half done is removed, and processes are stopped.

    A signal that is ignored stays so: nohup does that with SIGHUP. A second one does not end the tidying up, unless it
    comes `PATIENCE` seconds later: a library may have swallowed the first.

    Raises:
        SystemExit: of 128 + its number, at a signal.
    """
    numbers = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    ended_at = -math.inf

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal ended_at
        if time.monotonic() - ended_at > PATIENCE:
            ended_at = time.monotonic()
            raise SystemExit(128 + number)

    try:
        for number in numbers:
            signal.signal(number, end)
    except ValueError:  # signals belong to the main thread
        numbers = []
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _named(path: str | bytes | int) -> str:
    return os.fsdecode(path) if isinstance(path, str | bytes) else f'file {path}'


def _keep_traceback(error: Exception, arguments: Sequence[str]) -> str:
    """Write the traceback to a file; where it is."""
    text = ''.join(traceback.format_exception(error))
    about = f'mtperception {__version__}, Python {platform.python_version()}, {platform.platform()}'
    try:
        with NamedTemporaryFile(
            'w', encoding='utf-8', prefix='mtperception_', suffix='_error.log', delete=False
        ) as file:
            file.write(f'{about}\n{shlex.join(["mtperception", *arguments])}\n\n{text}')
    except OSError:
        print(text, file=sys.stderr)
        return 'Its traceback is above'
    return f'Its traceback is in {Path(file.name)} (--debug shows it)'

# SPDX-License-Identifier: Apache-2.0
"""What libjpeg, libpng and OpenCV print to stderr about damaged images is logged instead: each kind once in a while."""

import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO

PERIOD_S = 10.0
"""For so long a kind of message is not said again."""
_STDERR = 2
_OF_DECODERS = re.compile(
    rb'libpng (warning|error): |Corrupt JPEG data: |Premature end of JPEG file|Inconsistent progression sequence'
    rb'|Invalid (SOS|component|JPEG|marker|progressive)|Unsupported marker|Unknown Adobe|\[ *(WARN|ERROR):\d+@'
)
_NUMBERS = re.compile(rb'0x[0-9a-f]+|\d+')
_log = logging.getLogger(__name__)


class _Capture:
    """Takes what is written to stderr while at least one decoder runs. The lines of others are written on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._decoders = 0
        self._said: dict[bytes, float] = {}

    @contextmanager
    def running(self) -> Iterator[None]:
        """While a decoder runs, in any thread."""
        with self._lock:
            if not self._decoders:
                self._start()
            self._decoders += 1
        try:
            yield
        finally:
            with self._lock:
                self._decoders -= 1
                try:
                    lines = self._taken()
                finally:
                    if not self._decoders:
                        self._stop()
            for line in lines:
                self._log_once_in_a_while(line)

    def _start(self) -> None:
        self._stderr = os.dup(_STDERR)
        self._file = _memory_file()
        self._read = 0
        os.dup2(self._file.fileno(), _STDERR)

    def _stop(self) -> None:
        os.dup2(self._stderr, _STDERR)
        os.close(self._stderr)
        self._file.close()

    def _taken(self) -> list[bytes]:
        """The decoders' lines since the last call; the others' are written to where stderr was, if that takes them."""
        size = os.fstat(self._file.fileno()).st_size
        written = os.pread(self._file.fileno(), size - self._read, self._read)
        self._read = size
        lines = written.splitlines(keepends=True)
        others = b''.join(line for line in lines if not _OF_DECODERS.match(line))
        with suppress(OSError):  # its reader has gone, or the disk is full: no reason to refuse an image
            while others:
                others = others[os.write(self._stderr, others) :]
        return [line.strip() for line in lines if _OF_DECODERS.match(line)]

    def _log_once_in_a_while(self, line: bytes) -> None:
        kind, now = _NUMBERS.sub(b'#', line), time.monotonic()
        if now - self._said.get(kind, float('-inf')) >= PERIOD_S:
            self._said[kind] = now
            _log.warning('damaged image: %s', line.decode(errors='replace'))


def _memory_file() -> IO[bytes]:
    """An empty file; in memory where the system has such files."""
    if hasattr(os, 'memfd_create'):
        return os.fdopen(os.memfd_create('decoder messages'), 'w+b', buffering=0)
    return tempfile.TemporaryFile(buffering=0)


_capture = _Capture()


@contextmanager
def logged_decoder_messages() -> Iterator[None]:
    """Log what image decoders print in this context, the first of a kind and then one in ten seconds."""
    if not _has_stderr():
        yield
        return
    with _capture.running():
        yield


def _has_stderr() -> bool:
    try:
        os.fstat(_STDERR)
    except OSError:  # closed, as daemons do
        return False
    return True

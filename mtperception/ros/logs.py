# SPDX-License-Identifier: Apache-2.0
"""Forward the core's `logging` to the loggers of the nodes it works for, and so to /rosout."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from rclpy.impl.rcutils_logger import RcutilsLogger

_core = logging.getLogger('mtperception')
_speaker: ContextVar[Any] = ContextVar('speaker', default=None)
"""The `NodeLogs` of the node that the core works for in this thread."""


class NodeLogs(logging.Handler):
    """Passes on to a node's logger what the core logs while it works for that node.

    What it logs while it works for no node in particular, in a thread that a library started for example, goes to every
    node of the process.
    """

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._logger = logger
        _core.addHandler(self)
        _core.setLevel(logging.INFO)
        _core.propagate = False

    @contextmanager
    def attributed(self) -> Iterator[None]:
        """What the core logs in this context, it logs for this node."""
        token = _speaker.set(self)
        try:
            yield
        finally:
            _speaker.reset(token)

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is for this node."""
        return _speaker.get() in (None, self)

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record."""
        text = self.format(record)
        # One line each: rclpy ties the severity of a message to the line that logs it.
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        elif record.levelno >= logging.INFO:
            self._logger.info(text)
        else:
            self._logger.debug(text)

    def close(self) -> None:
        """Pass nothing on any more; after the last node of a process, logging is as it was before the first."""
        _core.removeHandler(self)
        if not any(isinstance(handler, NodeLogs) for handler in _core.handlers):
            _core.setLevel(logging.NOTSET)
            _core.propagate = True
        super().close()

"""Forward the core's `logging` to the node's logger, and so to /rosout."""

import logging

from rclpy.impl.rcutils_logger import RcutilsLogger


class RosLogHandler(logging.Handler):
    """Passes records on to a ROS logger."""

    def __init__(self, logger: RcutilsLogger) -> None:
        super().__init__()
        self._logger = logger

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


def forward_logs(logger: RcutilsLogger) -> None:
    """Send what the package logs to `logger`."""
    core = logging.getLogger('mtperception')
    core.handlers = [handler for handler in core.handlers if not isinstance(handler, RosLogHandler)]
    core.addHandler(RosLogHandler(logger))
    core.setLevel(logging.INFO)
    core.propagate = False

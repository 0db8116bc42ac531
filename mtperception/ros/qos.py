# SPDX-License-Identifier: Apache-2.0
"""A peer whose QoS does not match gets no data and no error: say so, once, with what to change."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rclpy.event_handler import QoSOfferedIncompatibleQoSInfo, QoSRequestedIncompatibleQoSInfo
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.qos import QoSPolicyKind, qos_policy_name_from_kind
from rclpy.qos_overriding_options import InvalidQosOverridesError, QoSOverridingOptions

from mtperception.errors import InputError

IncompatibleQoSInfo = QoSOfferedIncompatibleQoSInfo | QoSRequestedIncompatibleQoSInfo

OVERRIDES = QoSOverridingOptions(
    [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY]
)
"""What parameters `qos_overrides.<topic>.<publisher or subscription>.<policy>` can change."""


@contextmanager
def endpoint_errors() -> Iterator[None]:
    """Turn what rclpy raises for an overridden QoS that does not exist, or cannot be had, into an InputError."""
    try:
        yield
    except (RuntimeError, ValueError, InvalidQosOverridesError) as error:
        raise InputError(str(error)) from error


class QosWarnings:
    """Warns about incompatible peers, once per topic and policy."""

    def __init__(self, logger: RcutilsLogger) -> None:
        self._logger = logger
        self._warned: set[tuple[str, str]] = set()

    def of(self, topic: str, side: str) -> Callable[[IncompatibleQoSInfo], None]:
        """Event callback for one endpoint.

        Args:
            topic: resolved name.
            side: what this node has there: 'publisher' or 'subscription'.
        """
        peer = 'subscription' if side == 'publisher' else 'publisher'

        def warn(info: IncompatibleQoSInfo) -> None:
            policy = qos_policy_name_from_kind(info.last_policy_kind).lower()
            if (topic, policy) not in self._warned:
                self._warned.add((topic, policy))
                self._logger.warning(
                    f'{topic}: a {peer} with an incompatible {policy} exchanges nothing with this node: change it '
                    f"there, or set this node's parameter qos_overrides.{topic}.{side}.{policy}"
                )

        return warn

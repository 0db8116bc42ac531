# SPDX-License-Identifier: Apache-2.0
"""A peer whose QoS does not match gets no data and no error: say so, once, with what to change."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

from rclpy.event_handler import (
    PublisherEventCallbacks,
    QoSOfferedIncompatibleQoSInfo,
    QoSRequestedIncompatibleQoSInfo,
    SubscriptionEventCallbacks,
)
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSPolicyKind, QoSProfile, qos_policy_name_from_kind
from rclpy.qos_overriding_options import InvalidQosOverridesError, QoSOverridingOptions
from rclpy.subscription import Subscription

from mtperception.errors import InputError

IncompatibleQoSInfo = QoSOfferedIncompatibleQoSInfo | QoSRequestedIncompatibleQoSInfo

OVERRIDES = QoSOverridingOptions(
    [QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY]
)
"""What parameters `qos_overrides.<topic>.<publisher or subscription>.<policy>` can change."""


@contextmanager
def _endpoint_errors() -> Iterator[None]:
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
                here = f", or set this node's parameter qos_overrides.{topic}.{side}.{policy}"
                self._logger.warning(
                    f'{topic}: a {peer} with an incompatible {policy} exchanges nothing with this node: change it '
                    f'there{here if info.last_policy_kind in OVERRIDES.policy_kinds else ""}'
                )

        return warn


def subscribe(
    node: LifecycleNode,
    kind: type,
    topic: str,
    callback: Callable[[Any], None],
    qos: QoSProfile,
    qos_warnings: QosWarnings,
) -> Subscription:
    """A subscription whose QoS parameters can override; publishers that do not match are warned about.

    Raises:
        InputError: if the overridden QoS does not exist, or cannot be had.
    """
    warn = qos_warnings.of(node.resolve_topic_name(topic), 'subscription')
    with _endpoint_errors():
        return node.create_subscription(
            kind,
            topic,
            callback,
            copy(qos),  # overrides are written into it
            qos_overriding_options=OVERRIDES,
            event_callbacks=SubscriptionEventCallbacks(incompatible_qos=warn),
        )


def advertise(
    node: LifecycleNode, kind: type, topic: str, qos: QoSProfile, qos_warnings: QosWarnings, **events: Callable
) -> LifecyclePublisher:
    """A lifecycle publisher, likewise.

    Args:
        node: owns it.
        kind: of its messages.
        topic: its name.
        qos: where no parameter overrides it.
        qos_warnings: told of subscribers that do not match.
        events: further callbacks of `PublisherEventCallbacks`.

    Raises:
        InputError: as `subscribe`.
    """
    warn = qos_warnings.of(node.resolve_topic_name(topic), 'publisher')
    with _endpoint_errors():
        return node.create_lifecycle_publisher(
            kind,
            topic,
            copy(qos),
            qos_overriding_options=OVERRIDES,
            event_callbacks=PublisherEventCallbacks(incompatible_qos=warn, **events),
        )

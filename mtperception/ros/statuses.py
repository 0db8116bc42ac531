# SPDX-License-Identifier: Apache-2.0
"""What /diagnostics is made of."""

from collections.abc import Mapping, Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


def status(name: str, level: bytes, message: str, values: Mapping[str, str], hardware_id: str = '') -> DiagnosticStatus:
    """A status: OK, WARN or ERROR, with its values in their order."""
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=name, message=message, hardware_id=hardware_id, values=pairs)


def statuses_at(now_ns: int, statuses: Sequence[DiagnosticStatus]) -> DiagnosticArray:
    """The message of some statuses, stamped by the node's clock."""
    message = DiagnosticArray(status=list(statuses))
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(now_ns, 10**9)
    return message

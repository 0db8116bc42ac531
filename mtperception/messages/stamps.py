# SPDX-License-Identifier: Apache-2.0
"""Time in messages."""

from typing import Any


def nanoseconds(seconds: int, fraction: int) -> int:
    """One number of a builtin_interfaces/Time: seconds, and nanoseconds beside them."""
    return seconds * 10**9 + fraction


def stamp_of(message: Any) -> int:
    """Nanoseconds in the header of a message; 0 if its sender gave none."""
    stamp = message.header.stamp
    return nanoseconds(stamp.sec, stamp.nanosec)

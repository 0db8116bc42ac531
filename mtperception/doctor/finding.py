# SPDX-License-Identifier: Apache-2.0
"""One thing that was looked at."""

from dataclasses import dataclass, field
from typing import Any

OK = 'ok'
NOTE = 'note'
"""Absent or unusual, but nothing that the node needs."""
WARNING = 'warning'
"""The node runs, but loses images or gives less than it could."""
PROBLEM = 'problem'
"""The node cannot run."""


@dataclass(frozen=True)
class Finding:
    """What was found, and what to do about it.

    Attributes:
        section: what it belongs to, such as 'ROS'.
        name: what was looked at.
        state: `OK`, `NOTE`, `WARNING` or `PROBLEM`.
        found: what is there.
        advice: what to do; empty if there is nothing to do.
        values: the numbers in `found`, for programs.
    """

    section: str
    name: str
    state: str
    found: str
    advice: str = ''
    values: dict[str, Any] = field(default_factory=dict)

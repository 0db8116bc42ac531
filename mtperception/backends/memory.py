# SPDX-License-Identifier: Apache-2.0
"""How much memory this process has, and how much it can still take."""

import os
from pathlib import Path

STATM = Path('/proc/self/statm')
MEMINFO = Path('/proc/meminfo')
CGROUP_LIMITS = (
    (Path('/sys/fs/cgroup/memory.max'), Path('/sys/fs/cgroup/memory.current')),
    (Path('/sys/fs/cgroup/memory/memory.limit_in_bytes'), Path('/sys/fs/cgroup/memory/memory.usage_in_bytes')),
)
"""Limit and use of a container, in version 2 and 1 of Linux' control groups."""


def resident_bytes() -> int | None:
    """Memory of this process that is in RAM; None on systems without /proc."""
    if not STATM.exists():
        return None
    return int(STATM.read_text(encoding='ascii').split()[1]) * os.sysconf('SC_PAGE_SIZE')


def available_bytes() -> int | None:
    """Memory that can be taken without swapping: of the machine, or of its container where that has less.

    None on systems without /proc.
    """
    if not MEMINFO.exists():
        return None
    (line,) = [line for line in MEMINFO.read_text(encoding='ascii').splitlines() if line.startswith('MemAvailable:')]
    return min([int(line.split()[1]) * 1024, *_left_in_containers()])


def _left_in_containers() -> list[int]:
    left = []
    for limit, used in CGROUP_LIMITS:
        try:
            left.append(max(0, int(limit.read_text(encoding='ascii')) - int(used.read_text(encoding='ascii'))))
        except (OSError, ValueError):  # no such version, or the word 'max'
            continue
    return left

# SPDX-License-Identifier: Apache-2.0
"""How much memory this process has, and how much it can still take."""

import os
from pathlib import Path

STATM = Path('/proc/self/statm')
MEMINFO = Path('/proc/meminfo')
CGROUPS = (
    (Path('/sys/fs/cgroup'), 'memory.max', 'memory.current', 'inactive_file'),
    (Path('/sys/fs/cgroup/memory'), 'memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file'),
)
"""Of versions 2 and 1 of Linux' control groups: folder; files with the limit and the use of a container; what in
`memory.stat` is used by files that were read, and given back when needed."""


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
    for folder, limit, used, of_files in CGROUPS:
        try:
            allowed, taken = (int((folder / name).read_text(encoding='ascii')) for name in (limit, used))
            parts = dict(line.split() for line in (folder / 'memory.stat').read_text(encoding='ascii').splitlines())
            left.append(max(0, allowed - taken + int(parts.get(of_files, 0))))
        except (OSError, ValueError):  # no such version, or the word 'max'
            continue
    return left

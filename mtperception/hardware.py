# SPDX-License-Identifier: Apache-2.0
"""What this machine is, in one line, to go with every figure that was measured on it."""

import os
import platform
import re
from pathlib import Path

CPU_INFO = Path('/proc/cpuinfo')
NVIDIA = Path('/proc/driver/nvidia/gpus')


def describe_hardware() -> str:
    """Processor, number of cores that this process may use, and NVIDIA GPUs."""
    names = _values(CPU_INFO, 'model name') or [platform.machine()]
    gpus = [name for path in sorted(NVIDIA.glob('*/information')) for name in _values(path, 'Model')]
    cores = core_count()
    return ', '.join([names[0], '1 core' if cores == 1 else f'{cores} cores', *gpus])


def core_count() -> int:
    """Cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, 'sched_getaffinity'):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _values(path: Path, key: str) -> list[str]:
    """Values of the `key : value` lines of a file of the kernel; none if it is not there."""
    try:
        text = path.read_text(encoding='utf-8', errors='replace')
    except OSError:
        return []
    return re.findall(rf'^{key}\s*:\s*(.+?)\s*$', text, re.MULTILINE)

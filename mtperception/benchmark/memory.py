# SPDX-License-Identifier: Apache-2.0
"""Peak memory of a piece of work: of this process, or of a CUDA device."""

import ctypes
import gc
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STATUS = Path('/proc/self/status')
CLEAR_REFS = Path('/proc/self/clear_refs')
_RESET_PEAK = '5'
"""What the kernel takes in `clear_refs` for: the peak starts anew from the present size (proc(5))."""


class PeakMemory:
    """What a piece of work took; `mebibytes` is None where the system does not say."""

    mebibytes: float | None = None


@contextmanager
def peak_memory(device: str) -> Iterator[PeakMemory]:
    """Measure by how much memory grows inside this context.

    Args:
        device: 'cpu': the resident memory of this process, at its peak. Otherwise a CUDA device: the memory in use on
            it, by whatever library, at the end (libraries keep what they have taken); only if PyTorch is loaded.

    What earlier work has left is given back before: part of it would go inside, part would be used again, and the
    growth would be too small by both.
    """
    peak = PeakMemory()
    if device == 'cpu':
        before = _reset_peak()
        yield peak
        after = _status('VmHWM')
    else:
        _release_cache()
        before = _in_use(device)
        yield peak
        after = _in_use(device)
    if before is not None and after is not None:
        peak.mebibytes = max(0.0, (after - before) / 2**20)


def _reset_peak() -> float | None:
    """Start a new peak; bytes in use now, or None if that is not possible here."""
    if not CLEAR_REFS.exists():
        return None
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), 'malloc_trim', None):  # glibc's
        trim(0)
    try:
        CLEAR_REFS.write_text(_RESET_PEAK, encoding='ascii')
    except OSError:
        return None
    return _status('VmRSS')


def _status(key: str) -> float | None:
    match = re.search(rf'^{key}:\s*(\d+) kB$', STATUS.read_text(encoding='ascii'), re.MULTILINE)
    return int(match[1]) * 1024.0 if match else None


def _release_cache() -> None:
    if 'torch' in sys.modules:
        from mtperception.backends.cuda.runner import release_memory

        release_memory()


def _in_use(device: str) -> float | None:
    torch = sys.modules.get('torch')
    if torch is None or not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info(device)
    return float(total - free)

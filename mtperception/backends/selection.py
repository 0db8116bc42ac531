# SPDX-License-Identifier: Apache-2.0
"""Choose a backend: by name, or the first in a fixed order that is installed and passes the model's self-test."""

import ctypes
import logging
from contextlib import ExitStack
from functools import cache

from mtperception.backends.backend import PRECISIONS, Backend, BackendUnavailableError
from mtperception.backends.engine_cache import engine_cache, has_engines
from mtperception.backends.registry import BACKENDS
from mtperception.card import ModelDirectory
from mtperception.errors import InputError
from mtperception.selftest import SelfTestError, run_self_test

AUTO_ORDER = (
    ('torch', 'cuda:0'),
    ('onnxruntime', 'tensorrt:0'),
    ('onnxruntime', 'cuda:0'),
    ('openvino', 'cpu'),
    ('onnxruntime', 'cpu'),
    ('torch', 'cpu'),
)
_log = logging.getLogger(__name__)


def open_backend(
    model: ModelDirectory, backend: str = 'auto', device: str = 'auto', precision: str = 'auto'
) -> Backend:
    """Load a model into a backend that passes its self-test.

    What is not 'auto' is a condition: of the fixed order, the first that meets all of them is taken, and one line of
    log says which and why not those before it.

    Args:
        model: the model.
        backend: 'auto' or a key of `BACKENDS`.
        device: 'auto', 'cpu', 'cuda:N' or, for onnxruntime, 'tensorrt:N'.
        precision: 'auto' (fp32: a reduced one is not taken unasked), 'fp32', 'fp16' or 'bf16'.

    Raises:
        ValueError: for an unknown backend, device or precision.
        BackendUnavailableError: if what is asked for is unavailable; says what to install.
        SelfTestError: if what is asked for gives other outputs than the model's.
    """
    _check(backend, device, precision)
    precision = 'fp32' if precision == 'auto' else precision
    failures: list[BackendUnavailableError | SelfTestError] = []
    candidates = _candidates(backend, device)
    if device == 'auto' and not cuda_device_count():
        candidates = [(name, place) for name, place in candidates if place == 'cpu']
        failures.append(BackendUnavailableError('CUDA backends: no NVIDIA GPU found'))
    for name, place in candidates:
        try:
            opened = _open(model, name, place, precision, unasked=device == 'auto')
        except (BackendUnavailableError, SelfTestError) as error:
            failures.append(error)
            continue
        skipped = f'; skipped: {"; ".join(map(str, failures))}' if failures else ''
        _log.info('%s on %s, %s, passed the self-test of %s%s', name, place, precision, model.card.name, skipped)
        return opened
    if len(failures) == 1:
        raise failures[0]
    raise BackendUnavailableError(
        f'{_who(backend)} on {"any device" if device == "auto" else device} in {precision}. Tried: '
        f'{"; ".join(map(str, failures))}'
    )


def _who(backend: str) -> str:
    return 'no backend can run' if backend == 'auto' else f'{backend} cannot run'


def _check(backend: str, device: str, precision: str) -> None:
    if backend != 'auto' and backend not in BACKENDS:
        raise InputError(f'unknown backend {backend!r}: expected auto, {", ".join(BACKENDS)}')
    kind, colon, index = device.partition(':')
    if device not in ('auto', 'cpu') and not (kind in ('cuda', 'tensorrt') and (index.isdecimal() if colon else True)):
        raise InputError(f'unknown device {device!r}: expected auto, cpu, cuda:N or tensorrt:N')
    if precision != 'auto' and precision not in PRECISIONS:
        raise InputError(f'unknown precision {precision!r}: expected auto, {", ".join(PRECISIONS)}')


def _candidates(backend: str, device: str) -> list[tuple[str, str]]:
    """The entries of AUTO_ORDER that meet the conditions, with the device number that was asked for."""
    kind, _, index = device.partition(':')
    numbered = device if index or device in ('auto', 'cpu') else f'{kind}:0'
    return [
        (name, place if device == 'auto' else numbered)
        for name, place in AUTO_ORDER
        if backend in ('auto', name) and (device == 'auto' or place.partition(':')[0] == kind)
    ] or [(backend, place) for place in (('cuda:0', 'cpu') if device == 'auto' else (numbered,))]


def _open(model: ModelDirectory, name: str, device: str, precision: str, unasked: bool) -> Backend:
    if device != 'cpu' and not cuda_device_count():
        raise BackendUnavailableError(f'{name} on {device}: no NVIDIA GPU found; choose device cpu')
    if device.startswith('tensorrt') and unasked and not has_engines(engine_cache(model, 'tensorrt'), precision):
        raise BackendUnavailableError(f'{name} on {device}: no engine built yet (minutes); ask for it by device once')
    with ExitStack() as undo:
        try:
            backend = BACKENDS[name](model, device, precision)
            undo.callback(backend.close)
            run_self_test(model.self_test, backend.run, precision)
        except BackendUnavailableError:
            raise
        except SelfTestError as error:
            raise SelfTestError(f'{name} on {device}: {error}') from error
        except Exception as error:  # a library that fails, in whatever way, is unavailable
            raise BackendUnavailableError(f'{name} on {device}: {type(error).__name__}: {error}') from error
        undo.pop_all()
    return backend


@cache
def cuda_device_count() -> int:
    """Number of CUDA devices, asked of the driver itself: importing a framework to ask it takes seconds."""
    try:
        driver = ctypes.CDLL('libcuda.so.1')
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return 0
    return count.value

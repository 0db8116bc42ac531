# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime: the CPU, CUDA and TensorRT execution providers."""

import io
import logging
import os
import time
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import numpy as np

from mtperception.backends.backend import Backend, BackendUnavailableError, Latency, Maps, Runner
from mtperception.backends.engine_cache import engine_cache, engine_folder, has_engine
from mtperception.card import ModelDirectory
from mtperception.hardware import core_count

try:
    import onnxruntime
except ImportError as error:
    raise BackendUnavailableError(
        f'onnxruntime: not installed ({error}): pip install onnxruntime-gpu (x86-64 Linux) or onnxruntime'
    ) from error

PROVIDERS = {
    'cpu': ('CPUExecutionProvider',),
    'cuda': ('CUDAExecutionProvider', 'CPUExecutionProvider'),
    'tensorrt': ('TensorrtExecutionProvider', 'CUDAExecutionProvider', 'CPUExecutionProvider'),
}
"""Execution providers by kind of device: the first is the one asked for, the others take what it does not support."""

PRECISIONS = {'cpu': ('fp32',), 'cuda': ('fp32',), 'tensorrt': ('fp32', 'fp16')}
OPTIONS = {
    'CPUExecutionProvider': {},
    # fp32 is fp32: not the TF32 that CUDA uses for it by itself. TensorRT does so too, and its provider has no option
    # for it; NVIDIA_TF32_OVERRIDE=0 in the environment keeps it from that.
    'CUDAExecutionProvider': {'device_id': '{device}', 'use_tf32': '0'},
    'TensorrtExecutionProvider': {
        'device_id': '{device}',
        'trt_engine_cache_enable': 'True',
        'trt_engine_cache_path': '{engines}',
        'trt_timing_cache_enable': 'True',
        'trt_timing_cache_path': '{timings}',
        'trt_fp16_enable': '{fp16}',
    },
}
"""Options by provider, with places for what is known only when a session is opened."""

_ARENA_EXTENDED_AS_REQUESTED = 1
_FATAL = 4  # severity: errors arrive as exceptions, warnings about fall-backs are checked for here
_log = logging.getLogger(__name__)


def providers_for(device: str, precision: str, timings: Path, engines: Path) -> list[tuple[str, dict[str, str]]]:
    """Execution providers with their options, the one asked for first.

    Args:
        device: 'cpu', 'cuda:N' or 'tensorrt:N'; without a number the first.
        precision: of `PRECISIONS` for that kind of device.
        timings: folder for the timings of layers, which all shapes of a model share.
        engines: folder for the engines of one shape.
    """
    kind, _, index = device.partition(':')
    values = {'device': index or '0', 'engines': engines, 'timings': timings, 'fp16': precision == 'fp16'}
    return [
        (provider, {key: option.format(**values) for key, option in OPTIONS[provider].items()})
        for provider in PROVIDERS[kind]
    ]


class OnnxRuntimeBackend(Backend):
    """One session per shape, its dimensions fixed so that the graph is planned for them.

    On the CPU the sessions of a process share one arena of memory, so that another shape adds little more than its copy
    of the weights. Threads they do not share: a pool for all would be forced upon every other session of the process.
    """

    name = 'onnxruntime'

    def __init__(self, model: ModelDirectory, device: str, precision: str) -> None:
        super().__init__(device, precision)
        self._kind = device.partition(':')[0]
        if precision not in PRECISIONS[self._kind]:
            raise BackendUnavailableError(
                f'onnxruntime on {device} has no {precision}: choose one of {", ".join(PRECISIONS[self._kind])}'
            )
        self._graph = str(model.graph)
        self._cache = engine_cache(model, self._kind)
        if self._kind != 'cpu':
            _load_cuda_libraries()

    def _compile(self, batch: int, height: int, width: int) -> Runner:
        shape = (batch, height, width)
        engines = engine_folder(self._cache, self.precision, shape)
        builds = self._kind == 'tensorrt' and not has_engine(engines)
        if builds:
            # The provider makes one folder, not those above it.
            engines.mkdir(parents=True, exist_ok=True)
            _log.warning('building a TensorRT engine for %d x %dx%d: this takes minutes, once', batch, width, height)
        start = time.perf_counter()
        session = self._open_session(shape)
        # The first run of a session allocates (and builds the engine): not in a timed frame.
        outputs = session.run(None, {'image': np.zeros((*shape, 3), np.uint8)})
        if builds:
            _log.warning('built the TensorRT engine in %.0f s', time.perf_counter() - start)
        names = (output.name for output in session.get_outputs())
        kinds = {name: (output.dtype, output.shape) for name, output in zip(names, outputs, strict=True)}

        def run(images: np.ndarray) -> tuple[Maps, Latency]:
            begin = time.perf_counter()
            maps = _run_bound(session, np.ascontiguousarray(images), kinds)
            return maps, {'inference': (time.perf_counter() - begin) * 1e3}

        return run

    def _open_session(self, shape: tuple[int, int, int]) -> onnxruntime.InferenceSession:
        """A session for one shape, on the device that was asked for."""
        options = session_options()
        if self._kind == 'cpu':
            _create_shared_arena()
            options.add_session_config_entry('session.use_env_allocators', '1')
        for dimension, size in zip(('N', 'H', 'W'), shape, strict=True):
            options.add_free_dimension_override_by_name(dimension, size)
        # ONNX Runtime falls back to other providers by itself: when opening a session fails, when a run fails (both are
        # turned off here) and when a provider does not load (found out below).
        engines = engine_folder(self._cache, self.precision, shape)
        providers = providers_for(self.device, self.precision, self._cache, engines)
        session = onnxruntime.InferenceSession(self._graph, options, providers=providers, enable_fallback=False)
        session.disable_fallback()  # versions that do not know the argument take it without a word
        provider = PROVIDERS[self._kind][0]
        if provider not in session.get_providers():
            raise BackendUnavailableError(
                f'onnxruntime {onnxruntime.__version__} on {self.device}: {provider} did not load, only '
                f'{", ".join(session.get_providers())}: install what it names, or '
                'pip install "onnxruntime-gpu[cuda,cudnn]"'
            )
        return session


def session_options() -> onnxruntime.SessionOptions:
    """Options of a session that keeps quiet, and to the cores that this process may use."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _FATAL
    cores = core_count()
    if cores < (os.cpu_count() or 1):
        options.intra_op_num_threads = cores  # ONNX Runtime counts those of the machine
    return options


@cache
def _create_shared_arena() -> None:
    """Make the arena for all sessions on the CPU of this process, once."""
    place = onnxruntime.OrtMemoryInfo(
        'Cpu', onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    growth = onnxruntime.OrtArenaCfg({'arena_extend_strategy': _ARENA_EXTENDED_AS_REQUESTED})
    onnxruntime.create_and_register_allocator(place, growth)


def _load_cuda_libraries() -> None:
    """Load CUDA and cuDNN from pip's packages, where the system's loader does not look.

    Importing PyTorch does it as well, but not everybody who runs a graph has imported it. What is missing ONNX Runtime
    says by itself when a provider does not load. Before 1.21 it leaves them to be found on LD_LIBRARY_PATH.
    """
    preload = getattr(onnxruntime, 'preload_dlls', None)
    if preload is not None:
        with redirect_stdout(io.StringIO()):  # it prints
            preload()


def _run_bound(
    session: onnxruntime.InferenceSession, images: np.ndarray, kinds: dict[str, tuple[np.dtype, tuple[int, ...]]]
) -> Maps:
    """Run on the bytes where they are, into new arrays: nothing is copied but between devices.

    Args:
        session: for the shape of these images.
        images: uint8 N,H,W,3, contiguous.
        kinds: type and shape of the outputs by name.
    """
    binding = session.io_binding()
    binding.bind_input('image', 'cpu', 0, images.dtype, images.shape, images.ctypes.data)
    maps = {name: np.empty(shape, dtype) for name, (dtype, shape) in kinds.items()}
    for name, map_ in maps.items():
        binding.bind_output(name, 'cpu', 0, map_.dtype, map_.shape, map_.ctypes.data)
    session.run_with_iobinding(binding)
    return maps

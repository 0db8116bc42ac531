"""ONNX Runtime: the CPU, CUDA and TensorRT execution providers."""

import logging
import time

import numpy as np

from mtperception.backends.backend import Backend, BackendUnavailableError, Maps, Runner
from mtperception.backends.engine_cache import engine_cache
from mtperception.card import ModelDirectory

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
_FATAL = 4  # severity: errors arrive as exceptions, warnings about fall-backs are checked for here
_log = logging.getLogger(__name__)


class OnnxRuntimeBackend(Backend):
    """One session per shape, its dimensions fixed so that the graph is planned for them."""

    name = 'onnxruntime'

    def __init__(self, model: ModelDirectory, device: str, precision: str) -> None:
        super().__init__(device, precision)
        self._kind, _, index = device.partition(':')
        if precision not in PRECISIONS[self._kind]:
            raise BackendUnavailableError(
                f'onnxruntime on {device} has no {precision}: choose one of {", ".join(PRECISIONS[self._kind])}'
            )
        self._model = model
        options = _provider_options(model, index, precision)
        self._providers = [(provider, options.get(provider, {})) for provider in PROVIDERS[self._kind]]

    def _compile(self, batch: int, height: int, width: int) -> Runner:
        if self._kind == 'tensorrt':
            # The provider makes one folder, not those above it.
            engine_cache(self._model).mkdir(parents=True, exist_ok=True)
            _log.warning('TensorRT for %dx%d: without an engine in the cache this takes minutes, once', width, height)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = _FATAL
        for dimension, size in zip(('N', 'H', 'W'), (batch, height, width), strict=True):
            options.add_free_dimension_override_by_name(dimension, size)
        session = onnxruntime.InferenceSession(str(self._model.graph), options, providers=self._providers)
        # ONNX Runtime falls back to other providers by itself.
        wanted = PROVIDERS[self._kind][0]
        if wanted not in session.get_providers():
            raise BackendUnavailableError(
                f'onnxruntime {onnxruntime.__version__} on {self.device}: {wanted} did not load, only '
                f'{", ".join(session.get_providers())}: install onnxruntime-gpu and the CUDA libraries that it names'
            )
        names = [output.name for output in session.get_outputs()]

        def run(images: np.ndarray) -> Maps:
            start = time.perf_counter()
            outputs = session.run(names, {'image': images})
            self.latency_ms = {'inference': (time.perf_counter() - start) * 1e3}
            return dict(zip(names, outputs, strict=True))

        # The first run of a session allocates (and builds the engine): not in a timed frame.
        run(np.zeros((batch, height, width, 3), np.uint8))
        return run


def _provider_options(model: ModelDirectory, device_index: str, precision: str) -> dict[str, dict[str, str]]:
    """Options by provider."""
    cuda = {'device_id': device_index or '0'}
    cache = str(engine_cache(model))
    tensorrt = cuda | {
        'trt_engine_cache_enable': 'True',
        'trt_engine_cache_path': cache,
        'trt_timing_cache_enable': 'True',
        'trt_timing_cache_path': cache,
        'trt_fp16_enable': str(precision == 'fp16'),
    }
    # fp32 is fp32: not the TF32 that both use for it by themselves.
    return {'CUDAExecutionProvider': cuda | {'use_tf32': '0'}, 'TensorrtExecutionProvider': tensorrt}

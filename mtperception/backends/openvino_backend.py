# SPDX-License-Identifier: Apache-2.0
"""OpenVINO, on the CPU."""

import threading
import time
from functools import cache

import numpy as np

from mtperception.backends.backend import Backend, BackendUnavailableError, Latency, Maps, Runner
from mtperception.card import ModelDirectory

try:
    import openvino
except ImportError as error:
    raise BackendUnavailableError(f'openvino: not installed ({error}): pip install "mtperception[openvino]"') from error

PRECISIONS = {'fp32': 'f32', 'bf16': 'bf16', 'fp16': 'f16'}


@cache
def _core() -> openvino.Core:
    """The only Core of the process, kept until the process ends.

    A Core sets its thread's alternate stack for signal handlers, and restores the one before when it is destroyed. If
    the older of two is destroyed first, the newer restores a stack that is freed: the next signal is a segmentation
    fault.
    """
    return openvino.Core()


class OpenVinoBackend(Backend):
    """One compiled model per shape, with threads set for latency."""

    name = 'openvino'

    def __init__(self, model: ModelDirectory, device: str, precision: str) -> None:
        super().__init__(device, precision)
        if device != 'cpu':
            raise BackendUnavailableError(f'openvino runs on the CPU here, not on {device}: choose device cpu')
        capabilities = _core().get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
        if precision != 'fp32' and precision.upper() not in capabilities:
            raise BackendUnavailableError(f'openvino: this CPU has no {precision} (it has {", ".join(capabilities)})')
        self._graph = str(model.graph)

    def _compile(self, batch: int, height: int, width: int) -> Runner:
        model = _core().read_model(self._graph)
        model.reshape([batch, height, width, 3])
        # Without the first hint OpenVINO computes in bf16 wherever the CPU can; without the last each shape has an
        # executor of its own, with a thread that outlives it.
        hints = {
            'INFERENCE_PRECISION_HINT': PRECISIONS[self.precision],
            'PERFORMANCE_HINT': 'LATENCY',
            'EXCLUSIVE_ASYNC_REQUESTS': True,
        }
        request = _core().compile_model(model, 'CPU', hints).create_infer_request()
        names = [output.get_any_name() for output in model.outputs]
        request.infer({0: np.zeros((batch, height, width, 3), np.uint8)})
        kinds = [(tensor.data.dtype, tensor.data.shape) for tensor in request.output_tensors]

        turn = threading.Lock()  # a request has one set of outputs, and serves one thread at a time

        def run(images: np.ndarray) -> tuple[Maps, Latency]:
            start = time.perf_counter()
            # Results are written into new arrays, which belong to the caller; `infer` is not to return copies.
            maps = {name: np.empty(shape, dtype) for name, (dtype, shape) in zip(names, kinds, strict=True)}
            with turn:
                for index, map_ in enumerate(maps.values()):
                    request.set_output_tensor(index, openvino.Tensor(map_, shared_memory=True))
                request.infer({0: np.ascontiguousarray(images)}, share_inputs=True, share_outputs=True)
            return maps, {'inference': (time.perf_counter() - start) * 1e3}

        return run

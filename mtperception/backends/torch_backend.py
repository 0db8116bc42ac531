# SPDX-License-Identifier: Apache-2.0
"""PyTorch, on the CPU or a CUDA device."""

import time

import numpy as np

from mtperception.backends.backend import Backend, BackendUnavailableError, Latency, Maps, Runner
from mtperception.card import ModelCard, ModelDirectory

try:
    import torch
    from torch import nn

    from mtperception.backends.cuda.pipelines import fastest_pipeline
    from mtperception.backends.cuda.runner import CudaQueue, CudaRunner, release_memory
    from mtperception.networks import load_network
    from mtperception.networks.inference import for_eager
    from mtperception.pipeline import Pipeline
except ImportError as error:
    raise BackendUnavailableError(f'torch: not installed ({error}): pip install "mtperception[torch]"') from error

DTYPES = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}


def for_device(network: nn.Module, device: torch.device, precision: str) -> nn.Module:
    """A copy of a network as this backend runs it: in its eager form, made in fp32, then reduced, channels last."""
    return for_eager(network).to(device, DTYPES[precision], memory_format=torch.channels_last)


class NetworkBackend(Backend):
    """Runs the pipeline of a network in memory, a copy of it in its eager form (`networks.inference`), channels last.

    On the CPU in eager mode; on a CUDA device as a CUDA graph per shape (`mtperception.backends.cuda`).
    """

    name = 'torch'

    def __init__(self, network: nn.Module, card: ModelCard, device: str, precision: str = 'fp32') -> None:
        if device.startswith('tensorrt'):
            raise BackendUnavailableError('torch has no device tensorrt: choose backend onnxruntime')
        if device != 'cpu' and not torch.cuda.is_available():
            raise BackendUnavailableError(_why_no_device())
        super().__init__(device, precision)
        network = for_device(network, torch.device(device), precision)
        self._queue: CudaQueue | None = None
        if device == 'cpu':
            self._pipeline = Pipeline.of(network, card)
        else:
            self._queue = CudaQueue(torch.device(device))
            with self._queue.exclusive():
                self._pipeline = fastest_pipeline(network, card.depth_range, card.classes, card.temperature)

    def _compile(self, batch: int, height: int, width: int) -> Runner:
        if self._queue:
            return CudaRunner(self._pipeline, (batch, height, width), self._queue)
        # Eager mode prepares nothing, but the first run of a shape allocates and picks kernels: not in a timed frame.
        self._run_eagerly(np.zeros((batch, height, width, 3), np.uint8))
        return self._run_eagerly

    @torch.inference_mode()
    def _run_eagerly(self, images: np.ndarray) -> tuple[Maps, Latency]:
        start = time.perf_counter()
        # torch takes neither read-only arrays, which views of messages are, nor mirrored ones.
        outputs = self._pipeline(torch.from_numpy(np.array(images, order='C')))
        maps = {name: output.numpy() for name, output in outputs.items()}
        return maps, {'inference': (time.perf_counter() - start) * 1e3}

    def _memory_in_use(self) -> int | None:
        if self.device == 'cpu':
            return super()._memory_in_use()
        free, total = torch.cuda.mem_get_info(self.device)
        return total - free

    def _memory_available(self) -> int | None:
        if self.device == 'cpu':
            return super()._memory_available()
        return torch.cuda.mem_get_info(self.device)[0]

    def close(self) -> None:
        """Release the network and the device memory."""
        super().close()
        self._pipeline = None
        if self._queue:
            release_memory()


def _why_no_device() -> str:
    """Why PyTorch has no CUDA device, and what to do."""
    found = f'torch {torch.__version__} sees no CUDA device'
    if torch.version.cuda is None:
        return f'{found}: install its CUDA build'
    return (
        f'{found}: it needs one with a driver for CUDA {torch.version.cuda}; update the driver, or install a build for '
        'an older CUDA'
    )


class TorchBackend(NetworkBackend):
    """Runs the network of a model directory."""

    def __init__(self, model: ModelDirectory, device: str, precision: str) -> None:
        super().__init__(load_network(model.path), model.card, device, precision)

"""PyTorch, on the CPU or a CUDA device."""

import time

import numpy as np

from mtperception.backends.backend import Backend, BackendUnavailableError, Maps, Runner
from mtperception.card import ModelCard, ModelDirectory

try:
    import torch
    from torch import nn

    from mtperception.networks import load_network
    from mtperception.pipeline import Pipeline
except ImportError as error:
    raise BackendUnavailableError(f'torch: not installed ({error}): pip install "mtperception[torch]"') from error

DTYPES = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}


class NetworkBackend(Backend):
    """Runs the pipeline of a network in memory, in eager mode, channels last. The network is moved, not copied."""

    name = 'torch'

    def __init__(self, network: nn.Module, card: ModelCard, device: str, precision: str = 'fp32') -> None:
        super().__init__(device, precision)
        if device.startswith('tensorrt'):
            raise BackendUnavailableError('torch has no device tensorrt: choose backend onnxruntime')
        if device != 'cpu' and not torch.cuda.is_available():
            raise BackendUnavailableError(f'torch {torch.__version__} sees no CUDA device: install its CUDA build')
        self._device = torch.device(device)
        network = network.to(self._device, DTYPES[precision], memory_format=torch.channels_last)
        self._pipeline = Pipeline(network, card.depth_range, card.classes).eval()

    def _compile(self, batch: int, height: int, width: int) -> Runner:
        # Eager mode prepares nothing, but the first run of a shape allocates and picks kernels: not in a timed frame.
        self._run(np.zeros((batch, height, width, 3), np.uint8))
        return self._run

    @torch.inference_mode()
    def _run(self, images: np.ndarray) -> Maps:
        start = time.perf_counter()
        # torch takes neither read-only arrays, which views of messages are, nor mirrored ones.
        tensor = torch.from_numpy(np.array(images, order='C')).to(self._device)
        uploaded = self._now()
        with torch.backends.cudnn.flags(allow_tf32=False):  # fp32 is fp32
            outputs = self._pipeline(tensor)
        computed = self._now()
        maps = {name: output.cpu().numpy() for name, output in outputs.items()}
        self.latency_ms = {
            'upload': (uploaded - start) * 1e3,
            'inference': (computed - uploaded) * 1e3,
            'download': (time.perf_counter() - computed) * 1e3,
        }
        return maps

    def _now(self) -> float:
        """Time at which everything queued so far is done."""
        if self._device.type == 'cuda':
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def close(self) -> None:
        """Release the network and the device memory."""
        super().close()
        self._pipeline = None
        if self._device.type == 'cuda':
            torch.cuda.empty_cache()


class TorchBackend(NetworkBackend):
    """Runs the network of a model directory."""

    def __init__(self, model: ModelDirectory, device: str, precision: str) -> None:
        super().__init__(load_network(model.path), model.card, device, precision)

"""What a backend is, and which there are."""

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping

import numpy as np

from mtperception.card import ModelDirectory
from mtperception.types import MAX_PIXELS

Maps = dict[str, np.ndarray]
Runner = Callable[[np.ndarray], Maps]
MAX_PREPARED_SHAPES = 4
"""Kept by default: a camera and a few more sizes."""
PRECISIONS = ('fp32', 'fp16', 'bf16')


class BackendUnavailableError(RuntimeError):
    """A backend, device or precision that cannot be had here; the message says what to install or choose."""


class PreparationError(BackendUnavailableError):
    """A shape that a library fails to prepare for, as it does when memory is short."""


class Backend(ABC):
    """Runs the exported graph of one model on one device; specialises per shape.

    Attributes:
        name: its key in `BACKENDS`.
        device: 'cpu', 'cuda:N' or 'tensorrt:N'.
        precision: 'fp32', 'fp16' or 'bf16'.
        max_prepared: how many prepared shapes are kept.
        latency_ms: milliseconds that the last `run` spent in `upload`, `inference` and `download`; a stage that a
            backend does not have is missing.
    """

    name: str

    def __init__(self, device: str, precision: str) -> None:
        self.device = device
        self.precision = precision
        self.max_prepared = MAX_PREPARED_SHAPES
        self.latency_ms: Mapping[str, float] = {}
        self._prepared: OrderedDict[tuple[int, int, int], Runner] = OrderedDict()

    @abstractmethod
    def _compile(self, batch: int, height: int, width: int) -> Runner:
        """Compile, capture or build for one shape. The runner also sets `latency_ms`."""

    def prepare(self, batch: int, height: int, width: int) -> None:
        """Specialise for one shape; at most `max_prepared` are kept, the least recently used goes.

        Raises:
            ValueError: for a shape without pixels or of more than `MAX_PIXELS`.
            PreparationError: if the library fails.
        """
        shape = (batch, height, width)
        if min(shape) < 1 or height * width > MAX_PIXELS:
            raise ValueError(f'image of {width}x{height}, batch {batch}: expected 1 to {MAX_PIXELS} pixels (4096x3072)')
        if shape not in self._prepared:
            while len(self._prepared) >= self.max_prepared:
                self._prepared.popitem(last=False)
            self._prepared[shape] = self._compile_or_say_what_failed(*shape)
        self._prepared.move_to_end(shape)

    def is_prepared(self, batch: int, height: int, width: int) -> bool:
        """Whether `run` can start at once on this shape."""
        return (batch, height, width) in self._prepared

    def run(self, images: np.ndarray) -> Maps:
        """Run the graph; prepares on the first sight of a shape.

        Args:
            images: uint8 N,H,W,3, RGB.

        Returns:
            The graph's outputs by name (`pipeline.Pipeline.forward`), owned by the caller.

        Raises:
            ValueError: for an array of another kind, or too large.
            PreparationError: as for `prepare`.
        """
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(f'images {images.dtype} {images.shape}: expected uint8 (N, H, W, 3), RGB')
        self.prepare(*images.shape[:3])
        return self._prepared[images.shape[:3]](images)

    def close(self) -> None:
        """Release everything prepared, and the device memory with it."""
        self._prepared.clear()

    def _compile_or_say_what_failed(self, batch: int, height: int, width: int) -> Runner:
        try:
            return self._compile(batch, height, width)
        except BackendUnavailableError:
            raise
        except Exception as error:  # each library raises what it likes
            reason = ' '.join(f'{type(error).__name__}: {error}'.split())
            raise PreparationError(
                f'{self.name} on {self.device} cannot be prepared for {batch} x {width}x{height}: {reason} '
                '(if memory is short: a smaller size needs less)'
            ) from error


def _torch(model: ModelDirectory, device: str, precision: str) -> Backend:
    from mtperception.backends.torch_backend import TorchBackend

    return TorchBackend(model, device, precision)


def _onnxruntime(model: ModelDirectory, device: str, precision: str) -> Backend:
    from mtperception.backends.onnxruntime_backend import OnnxRuntimeBackend

    return OnnxRuntimeBackend(model, device, precision)


def _openvino(model: ModelDirectory, device: str, precision: str) -> Backend:
    from mtperception.backends.openvino_backend import OpenVinoBackend

    return OpenVinoBackend(model, device, precision)


BACKENDS: dict[str, Callable[[ModelDirectory, str, str], Backend]] = {
    'torch': _torch,
    'onnxruntime': _onnxruntime,
    'openvino': _openvino,
}
"""Loaders by name: called with a model, a device and a precision; raise BackendUnavailableError. Listing them imports
nothing."""

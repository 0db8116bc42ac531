# SPDX-License-Identifier: Apache-2.0
"""Which backends there are."""

from collections.abc import Callable

from mtperception.backends.backend import Backend
from mtperception.card import ModelDirectory


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

# SPDX-License-Identifier: Apache-2.0
"""For tests: ONNX Runtime, of which something comes before a shape is compiled: a wait, or a failure."""

from mtperception.backends.onnxruntime_backend import OnnxRuntimeBackend


def nothing(batch, height, width):
    """Compile at once."""


class HookedBackend(OnnxRuntimeBackend):
    """Calls `before(batch, height, width)` first."""

    def __init__(self, model, device='cpu', precision='fp32', before=nothing):
        super().__init__(model, device, precision)
        self.before = before

    def _compile(self, batch, height, width):
        self.before(batch, height, width)
        return super()._compile(batch, height, width)

# SPDX-License-Identifier: Apache-2.0
"""The perception node with a backend that takes its time for one image size, as libraries that build engines do."""

import time

from mtperception.backends.onnxruntime_backend import OnnxRuntimeBackend
from mtperception.ros.perception_node import main

WIDTH, HEIGHT = 62, 46
"""The size."""
SECONDS = 6.0
"""How long it takes longer than it would."""


def slow_down(backend, seconds):
    """Let a class of backends take longer to prepare for that size."""
    compile_ = backend._compile

    def compile_slowly(self, batch, height, width):
        if (width, height) == (WIDTH, HEIGHT):
            time.sleep(seconds)
        return compile_(self, batch, height, width)

    backend._compile = compile_slowly


if __name__ == '__main__':
    slow_down(OnnxRuntimeBackend, SECONDS)
    main()

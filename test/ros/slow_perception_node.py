# SPDX-License-Identifier: Apache-2.0
"""The perception node with a backend that takes its time for one image size, as libraries that build engines do."""

import sys
import time
from pathlib import Path

from mtperception.backends.registry import BACKENDS
from mtperception.ros.perception_node import main

sys.path.append(str(Path(__file__).parent.parent))  # for the process, which no test runner helps
from hooked_backend import HookedBackend

WIDTH, HEIGHT = 62, 46
"""The size."""
SECONDS = 6.0
"""How long it takes longer than it would."""


def slow(seconds):
    """A loader of ONNX Runtime that takes longer to prepare for that size."""

    def wait(batch, height, width):
        if (width, height) == (WIDTH, HEIGHT):
            time.sleep(seconds)

    return lambda *place: HookedBackend(*place, wait)


if __name__ == '__main__':
    BACKENDS['onnxruntime'] = slow(SECONDS)
    main()

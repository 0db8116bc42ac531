# SPDX-License-Identifier: Apache-2.0
"""What it takes to prepare a backend for a shape, in a process that has done nothing else.

Libraries keep the memory that they had once, and what they have compiled: measured in a process that has run the same
library before, both would come out too small.
"""

import importlib
import io
import json
import os
import subprocess
import sys
import time
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mtperception.backends import BACKENDS
from mtperception.benchmark.candidates import Candidate
from mtperception.benchmark.memory import peak_memory
from mtperception.card import open_model


@dataclass(frozen=True)
class Preparation:
    """What it takes; None where that is not known."""

    seconds: float | None = None
    """To specialise for the shape."""
    mebibytes: float | None = None
    """By how much the memory of the process, or that in use on the GPU, grows after the backend was opened and until it
    has run once."""


def measure_preparation(model: Path, candidate: Candidate, images: np.ndarray) -> Preparation:
    """Prepare and run once, in a process of its own. If it fails there, nothing is known; here it will say why.

    Args:
        model: a model directory.
        candidate: how to run it.
        images: uint8 N,H,W,3.
    """
    command = [sys.executable, '-m', __name__, str(model), *vars(candidate).values()]
    environment = os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}
    data = io.BytesIO()
    np.save(data, images)
    done = subprocess.run(command, input=data.getvalue(), capture_output=True, env=environment, check=False)
    return Preparation() if done.returncode else Preparation(**json.loads(done.stdout.splitlines()[-1]))


def _measure(model: str, backend: str, device: str, precision: str, images: np.ndarray) -> Preparation:
    candidate = Candidate(backend, device, precision)
    if device != 'cpu':
        with suppress(ImportError):
            importlib.import_module('torch')  # it knows what memory of a GPU is in use
    with closing(BACKENDS[backend](open_model(model), device, precision)) as opened:
        with peak_memory(candidate.baseline_device) as memory:
            start = time.perf_counter()
            opened.prepare(*images.shape[:3])
            seconds = time.perf_counter() - start
            opened.run(images)
        return Preparation(seconds, memory.mebibytes)


if __name__ == '__main__':
    print(json.dumps(asdict(_measure(*sys.argv[1:], np.load(io.BytesIO(sys.stdin.buffer.read()))))))

# SPDX-License-Identifier: Apache-2.0
"""What is of OpenVINO alone."""

import subprocess
import sys

import pytest

pytest.importorskip('openvino')

A_SIGNAL_AFTER_TWO = """
import gc, signal
from mtperception.backends.openvino_backend import OpenVinoBackend
from mtperception.card import open_model
model = open_model('nyuv2_indoor')
older, newer = (OpenVinoBackend(model, 'cpu', 'fp32') for _ in range(2))
del older
gc.collect()
del newer
gc.collect()
kept = [bytes(11_000) for _ in range(2_000)]
signal.signal(signal.SIGTERM, lambda *_: print('handled'))
signal.raise_signal(signal.SIGTERM)
"""


def test_signals_are_handled_after_the_older_of_two_backends_ended_first():
    """As when a node is configured again, or two models are compared: it was a segmentation fault."""
    command = [sys.executable, '-c', A_SIGNAL_AFTER_TWO]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, 'handled\n'), done.stderr

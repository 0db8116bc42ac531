# SPDX-License-Identifier: Apache-2.0
"""What a piece of work takes is seen after it has given it back."""

import subprocess
import sys

import pytest

from mtperception.benchmark import memory
from mtperception.benchmark.memory import peak_memory

MEASURED = """
import gc
import numpy as np
from mtperception.benchmark.memory import peak_memory

class Cycle:
    def __init__(self, mebibytes):
        self.itself = self
        self.block = np.ones(mebibytes * 2**20, np.uint8)

gc.disable()
Cycle({garbage})
with peak_memory('cpu') as peak:
    gc.collect()
    block = np.ones(200 * 2**20, np.uint8)
    del block
print(peak.mebibytes)
"""
"""In a process of its own: whatever else ran in this one could give memory back meanwhile."""


@pytest.mark.parametrize('garbage', [0, 100])
def test_a_peak_that_has_gone(garbage):
    """Garbage of earlier work, collected during the work that is measured, does not count against it."""
    code = MEASURED.format(garbage=garbage)
    said = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.strip()
    if said == 'None':
        pytest.skip('this kernel does not let a process reset its peak')
    assert 190 <= float(said) <= 300


def test_a_kernel_that_does_not_say(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, 'CLEAR_REFS', tmp_path / 'nowhere' / 'clear_refs')
    with peak_memory('cpu') as peak:
        pass
    assert peak.mebibytes is None

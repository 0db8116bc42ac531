# SPDX-License-Identifier: Apache-2.0
"""What a process has and can take, as the kernel says it."""

import subprocess
import sys

import pytest

from mtperception.backends import memory

TAKES_A_BLOCK = """
import numpy as np
from mtperception.backends import memory
before = memory.resident_bytes()
block = np.ones(64 * 2**20, np.uint8)
print(memory.resident_bytes() - before)
"""


def test_what_a_process_takes_is_resident():
    """One of its own: that of the tests gives back at any time what earlier ones took."""
    done = subprocess.run([sys.executable, '-c', TAKES_A_BLOCK], capture_output=True, text=True, check=True, timeout=60)
    assert int(done.stdout) == pytest.approx(64 * 2**20, rel=0.1)


def machine(tmp_path, monkeypatch, limit):
    meminfo = tmp_path / 'meminfo'
    meminfo.write_text('MemTotal:       16000000 kB\nMemAvailable:    8000000 kB\n')
    (tmp_path / 'limit').write_text(limit)
    (tmp_path / 'used').write_text('1500000\n')
    (tmp_path / 'memory.stat').write_text('anon 1000000\ninactive_file 500000\nactive_file 0\n')
    monkeypatch.setattr(memory, 'MEMINFO', meminfo)
    names = ('limit', 'used', 'inactive_file')
    monkeypatch.setattr(memory, 'CGROUPS', ((tmp_path / 'absent', *names), (tmp_path, *names)))


@pytest.mark.parametrize(
    ('limit', 'available'),
    [('max\n', 8_192_000_000), ('3000000\n', 2_000_000), ('500000\n', 0), ('9' * 18, 8_192_000_000)],
)
def test_what_is_left_of_a_machine_and_its_container(tmp_path, monkeypatch, limit, available):
    machine(tmp_path, monkeypatch, limit)
    assert memory.available_bytes() == available


def test_a_system_without_proc_says_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, 'MEMINFO', tmp_path / 'absent')
    monkeypatch.setattr(memory, 'STATM', tmp_path / 'absent')
    assert (memory.resident_bytes(), memory.available_bytes()) == (None, None)

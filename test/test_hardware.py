# SPDX-License-Identifier: Apache-2.0
import os

import pytest

from mtperception import hardware
from mtperception.hardware import describe_hardware

CPU_INFO = (
    'processor\t: 0\nmodel name\t: Wonder CPU @ 3 GHz\nflags : x\nprocessor\t: 1\nmodel name\t: Wonder CPU @ 3 GHz\n'
)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A /proc of a machine with one processor of two cores, and no GPU."""
    (tmp_path / 'cpuinfo').write_text(CPU_INFO)
    monkeypatch.setattr(hardware, 'CPU_INFO', tmp_path / 'cpuinfo')
    monkeypatch.setattr(hardware, 'NVIDIA', tmp_path / 'gpus')
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {0, 1})
    return tmp_path


def test_a_processor(machine):
    assert describe_hardware() == 'Wonder CPU @ 3 GHz, 2 cores'


def test_gpus(machine):
    for number, name in enumerate(('NVIDIA H200', 'NVIDIA A2')):
        folder = machine / 'gpus' / f'0000:0{number}:00.0'
        folder.mkdir(parents=True)
        (folder / 'information').write_text(f'Model: \t\t {name}\nIRQ:   \t\t 35\n')
    assert describe_hardware() == 'Wonder CPU @ 3 GHz, 2 cores, NVIDIA H200, NVIDIA A2'


def test_a_machine_that_does_not_name_its_processor(machine, monkeypatch):
    (machine / 'cpuinfo').write_text('processor\t: 0\nBogoMIPS\t: 50.00\n')
    monkeypatch.setattr(hardware.platform, 'machine', lambda: 'aarch64')
    assert describe_hardware() == 'aarch64, 2 cores'


def test_this_machine():
    assert ' core' in describe_hardware()

# SPDX-License-Identifier: Apache-2.0
"""Advice about a precision that this CPU computes slowly."""

import os
import platform
import subprocess
import sys

import pytest
import torch
from tiny_runs import tiny_config

from mtperception.training.precision import precision_advice
from mtperception.training.trainer import Trainer

CPU = torch.device('cpu')


@pytest.mark.skipif(platform.machine() not in ('x86_64', 'AMD64'), reason='needs an x86 processor')
def test_without_avx512_bf16_is_advised_against():
    """PyTorch itself can be told to use less than the processor has."""
    code = (
        'import torch; from mtperception.training.precision import precision_advice as advice\n'
        'print([advice(kind, torch.device("cpu")) for kind in ("bf16", "fp32")])'
    )
    environment = {**os.environ, 'ATEN_CPU_CAPABILITY': 'avx2'}
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, env=environment)
    advice = 'this CPU has no AVX-512: bf16 takes several times longer than precision=fp32'
    assert done.stdout.strip() == str([advice, ''])


def test_fp32_is_not_tf32(room_data, tmp_path, monkeypatch):
    for precision, is_allowed in (('bf16', True), ('fp32', False)):
        monkeypatch.setattr(torch.backends.cudnn, 'allow_tf32', True)  # PyTorch's default
        Trainer(tiny_config(room_data, precision=precision), tmp_path / precision, CPU)
        assert torch.backends.cudnn.allow_tf32 is is_allowed


@pytest.mark.skipif(platform.machine() not in ('x86_64', 'AMD64'), reason='needs an x86 processor')
def test_a_run_says_so(room_data, tmp_path):
    code = (
        'import sys; from pathlib import Path; from tiny_runs import CPU, tiny_config\n'
        'from mtperception.training.trainer import Trainer\n'
        'Trainer(tiny_config(Path(sys.argv[1]), precision=sys.argv[3]), Path(sys.argv[2]), CPU)'
    )
    environment = {**os.environ, 'ATEN_CPU_CAPABILITY': 'avx2', 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}
    for precision, is_slow in (('bf16', True), ('fp32', False)):
        command = [sys.executable, '-c', code, str(room_data), str(tmp_path / precision), precision]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        assert ('bf16 takes several times longer' in done.stderr) is is_slow


def test_elsewhere_nothing_is_said():
    assert precision_advice('bf16', torch.device('cuda')) == ''
    assert precision_advice('fp32', CPU) == ''
    if torch.backends.cpu.get_cpu_capability().startswith('AVX512'):
        assert precision_advice('bf16', CPU) == ''

# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: what is written comes back, what is none is refused, and the old one stays until there is a new one."""

import ast
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import mtperception.training
from mtperception.training.checkpoint import (
    Checkpoint,
    CheckpointError,
    load_optimizer,
    optimizer_tensors,
)


def a_checkpoint(value=1.0):
    weight = torch.full((4, 3, 2, 2), value).to(memory_format=torch.channels_last)
    tensors = {'network/a.weight': weight, 'network/count': torch.tensor(3), 'average/a.weight': weight + 1}
    return Checkpoint(tensors, {'steps': 7, 'best': None, 'pending': {'shared': 2}, 'text': 'ö', 'loss': 0.1 + 0.2})


def test_round_trip(tmp_path):
    written = a_checkpoint()
    written.write(tmp_path / 'new folder' / 'last.safetensors')
    read = Checkpoint.read(tmp_path / 'new folder' / 'last.safetensors')
    assert read.scalars == written.scalars
    assert read.tensors.keys() == written.tensors.keys()
    assert all(
        torch.equal(read.tensors[name], x) and read.tensors[name].dtype == x.dtype
        for name, x in written.tensors.items()
    )
    assert set(read.group('network')) == {'a.weight', 'count'}
    assert read.group('weighting') == {}
    assert [path.name for path in (tmp_path / 'new folder').iterdir()] == ['last.safetensors']


def truncated(path):
    a_checkpoint().write(path)
    path.write_bytes(path.read_bytes()[:-20])


def cut_in_its_header(path):
    a_checkpoint().write(path)
    path.write_bytes(path.read_bytes()[:50])


def weights(path):
    save_file({'a.weight': torch.zeros(3)}, path)


def pickled(path):
    path.write_bytes(pickle.dumps({'network': 1}))


def saved_by_torch(path):
    torch.save({'network': torch.zeros(3)}, path)


def empty(path):
    path.touch()


def missing(path):
    pass


@pytest.mark.parametrize(
    'make', [truncated, cut_in_its_header, weights, pickled, saved_by_torch, empty, missing, Path.mkdir]
)
def test_what_is_no_checkpoint(make, tmp_path):
    path = tmp_path / 'x.safetensors'
    make(path)
    with pytest.raises(CheckpointError, match=r'x\.safetensors: not a'):
        Checkpoint.read(path)


WRITE_TOO_MUCH = """
import resource, sys
from pathlib import Path
import torch
from safetensors import SafetensorError
from mtperception.training.checkpoint import Checkpoint

size = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
try:
    Checkpoint({'network/large': torch.zeros(4 * size)}, {}).write(Path(sys.argv[1]))
except (OSError, SafetensorError):
    sys.exit(28)
"""


def test_a_full_disk_leaves_the_old_one(tmp_path):
    path = tmp_path / 'last.safetensors'
    a_checkpoint().write(path)
    # In a process of its own: the limit would hold for whatever other threads of this one write meanwhile.
    command = [sys.executable, '-c', WRITE_TOO_MUCH, path, str(path.stat().st_size)]
    assert subprocess.run(command, check=False).returncode == 28
    assert Checkpoint.read(path).scalars['steps'] == 7
    a_checkpoint(2.0).write(path)  # what the failure left does not stand in the way
    assert Checkpoint.read(path).tensors['network/a.weight'].unique().tolist() == [2.0]
    assert [left.name for left in tmp_path.iterdir()] == ['last.safetensors']


@pytest.mark.parametrize(
    ('kind', 'options'), [(torch.optim.AdamW, {}), (torch.optim.SGD, {'momentum': 0.9}), (torch.optim.SGD, {})]
)
def test_an_optimizer_goes_on(kind, options, tmp_path):
    """The steps after a checkpoint are the same, bit by bit, with rates and memory format from the configuration."""

    def start(weight):
        parameter = torch.nn.Parameter(weight.clone(memory_format=torch.preserve_format))
        unused = torch.nn.Parameter(torch.zeros(2))
        return parameter, kind([{'params': [unused, parameter], 'lr': 0.1, 'base_lr': 0.1}], **options)

    def advance(parameter, optimizer, steps):
        for step in steps:
            parameter.grad = torch.full_like(parameter, 0.3 * step) + parameter.detach() ** 2
            optimizer.step()

    weight = torch.rand(8, 5, 3, 3, generator=torch.Generator().manual_seed(1)).to(memory_format=torch.channels_last)
    parameter, optimizer = start(weight)
    advance(parameter, optimizer, range(3))
    tensors = {f'optimizer/all/{key}': x for key, x in optimizer_tensors(optimizer).items()}
    Checkpoint(tensors, {}).write(tmp_path / 'x')
    resumed, later = start(parameter.detach())
    load_optimizer(later, Checkpoint.read(tmp_path / 'x').group('optimizer/all'))
    assert later.param_groups[0]['base_lr'] == 0.1
    for x in later.state[resumed].values():
        assert x is None or x.dim() == 0 or x.stride() == resumed.stride()
    advance(parameter, optimizer, range(3, 6))
    advance(resumed, later, range(3, 6))
    assert torch.equal(parameter, resumed)


def test_training_neither_reads_nor_writes_pickles():
    for path in Path(mtperception.training.__file__).parent.glob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            assert 'pickle' not in (*names, getattr(node, 'module', None))
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == 'torch':
                assert node.attr not in ('load', 'save'), f'{path.name}:{node.lineno}'

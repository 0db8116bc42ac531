# SPDX-License-Identifier: Apache-2.0
"""Several processes learn what one learns."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from loss_batches import loss_and_gradient, one_of_two, uneven_batch
from tiny_runs import data_of, history, tiny_config, write_config
from two_trainers import one_of_two_trainers

from mtperception.training.checkpoint import Checkpoint
from mtperception.training.config import ChoiceConfig, OptimizerConfig
from mtperception.training.distributed import global_max, global_sum, process_group, rank, world_size
from mtperception.training.examples import Batches
from mtperception.training.losses import LOSSES
from mtperception.training.trainer import LAST, Trainer


@pytest.fixture(scope='module')
def config(room_data):
    """20 steps of two images, of which some have only depth, some only labels, and valid pixels are unevenly many."""
    parts = [
        data_of(room_data, split='pair'),
        data_of(room_data, ['depth'], 'first'),
        data_of(room_data, ['segmentation'], 'last'),
    ]
    return tiny_config(
        room_data,
        data=parts,
        batch_norm='frozen',
        weighting=ChoiceConfig('variance', {'window': 2}),  # which learns, and remembers epochs
        # AdamW divides gradients by their size: without this, those that are only rounding would make whole steps.
        optimizer=OptimizerConfig(options={'eps': 1e-3}, clip_norm=5.0),
        epochs=4,
    )


def annotated_images(trainer, task):
    """For each step of the run, how many of the two images have an annotation of a task."""
    batches = Batches(len(trainer.examples), trainer.config.batch_size, trainer.config.seed)
    counts = []
    for epoch in range(trainer.config.epochs):
        batches.epoch = epoch
        counts += [sum(task in trainer.examples[key].targets for key in keys) for keys in batches]
    return counts


@pytest.fixture(scope='module')
def file(config, tmp_path_factory):
    """The configuration, with a checkpoint after each step."""
    path = tmp_path_factory.mktemp('config') / 'tiny.yaml'
    return write_config(path, replace(config, checkpoint_minutes=1e-9))


@pytest.fixture(scope='module')
def two(file, tmp_path_factory):
    """The run of two processes on one machine, and what it printed."""
    out = tmp_path_factory.mktemp('two') / 'run'
    launcher = ['-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
    command = [sys.executable, *launcher, '-m', 'mtperception', 'train', str(file), '--out', str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return out, done.stdout


def test_two_processes_equal_one(config, two, tmp_path):
    one, (two, said) = tmp_path / 'one', two
    trainer = Trainer(config, one, torch.device('cpu'))
    # All cases are there: no process has an annotation, one of them, both.
    assert [set(annotated_images(trainer, task)) for task in ('segmentation', 'depth')] == [{0, 1, 2}, {0, 1, 2}]
    trainer.fit()
    assert said.count('20 steps') == 1, said  # the first process alone speaks

    expected, found = Checkpoint.read(one / LAST), Checkpoint.read(two / LAST)
    assert found.scalars['steps'] == 20
    for kind in ('network', 'average', 'weighting'):
        before, after = expected.group(kind), found.group(kind)
        assert before.keys() == after.keys()
        difference = max(float((x - after[name]).abs().max()) for name, x in before.items())
        print(f'{kind}: largest difference {difference:.2e}')
        assert difference < 1e-5
    assert len(history(two)) == 4
    for first, second in zip(history(one), history(two), strict=True):
        assert second['losses'] == pytest.approx(first['losses'], rel=1e-4)


def free_port():
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        return found.getsockname()[1]


def start_hosts(file, out):
    """Two launchers of one worker each, which know each other by address only: as on two machines."""
    port = str(free_port())
    hosts = []
    for host in range(2):
        options = ['--nnodes', '2', '--node-rank', str(host), '--nproc-per-node', '1', '--max-restarts', '0']
        place = ['--master-addr', '127.0.0.1', '--master-port', port, '--local-addr', f'127.0.0.{host + 1}']
        launcher = [sys.executable, '-m', 'torch.distributed.run', *options, *place]
        command = [*launcher, '-m', 'mtperception', 'train', str(file), '--out', str(out)]
        hosts.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
    return hosts


def worker_of(launcher):
    """The process that a launcher has started."""
    (child,) = Path(f'/proc/{launcher.pid}/task/{launcher.pid}/children').read_text().split()
    return int(child)


def test_a_worker_on_one_of_two_hosts_is_killed(file, two, tmp_path):
    """The run says so on both and ends; started again, it resumes and ends where it would have ended, bit by bit.

    Where that is, does not depend on which machines the two processes are on.
    """
    killed, (whole, _) = tmp_path / 'killed', two
    hosts = start_hosts(file, killed)
    steps = 0
    while steps < 3:
        assert all(host.poll() is None for host in hosts), hosts[0].stdout.read()
        steps = Checkpoint.read(killed / LAST).scalars['steps'] if (killed / LAST).exists() else 0
        time.sleep(0.01)
    os.kill(worker_of(hosts[1]), signal.SIGKILL)
    said = [host.communicate(timeout=120)[0] for host in hosts]
    assert [host.returncode for host in hosts] == [1, 1], said
    assert 'Signal 9 (SIGKILL)' in said[1]
    assert 'error: another training process has ended or cannot be reached, as seen by process 0' in said[0]
    assert 'a fault of mtperception' not in said[0]
    assert 3 <= Checkpoint.read(killed / LAST).scalars['steps'] < 20
    hosts = start_hosts(file, killed)
    said = [host.communicate(timeout=300)[0] for host in hosts]
    assert [host.returncode for host in hosts] == [0, 0], said
    first, second = Checkpoint.read(killed / LAST), Checkpoint.read(whole / LAST)
    assert first.scalars == second.scalars
    assert [name for name, x in first.tensors.items() if not torch.equal(x, second.tensors[name])] == []


def in_two_processes(function, *arguments):
    """What `function(number, port, *arguments, found)` leaves in `found`."""
    with torch.multiprocessing.Manager() as manager:
        shared = manager.dict()
        torch.multiprocessing.spawn(function, (free_port(), *arguments, shared), nprocs=2)
        return dict(shared)


def test_batch_norm_statistics_are_those_of_the_first_process(config, tmp_path):
    """Each process sees other images; what checkpoints keep, and answers are compared with, is of one."""
    trained = replace(config, batch_norm='trained', batch_size=4, epochs=1)
    found = in_two_processes(one_of_two_trainers, trained, tmp_path / 'run')
    assert len(found[0]) > 10
    assert found[0] == found[1]
    started = dict(Trainer(trained, tmp_path / 'other', torch.device('cpu')).network.named_buffers())
    assert any(values != started[name].tolist() for name, values in found[0].items())


def test_every_loss_is_that_of_the_whole_batch_in_each_process():
    """Each process sees one image; the loss is that of both, and the gradients together are those of one process."""
    found = in_two_processes(one_of_two)
    for name in LOSSES:
        loss, gradient = loss_and_gradient(name, *uneven_batch(name), 1)
        assert loss > 0
        assert [found[name, number][0] for number in (0, 1)] == pytest.approx([loss, loss], rel=1e-5)
        together = torch.tensor([found[name, number][1][0] for number in (0, 1)])
        torch.testing.assert_close(together, torch.tensor(gradient), rtol=1e-4, atol=1e-7)


def test_alone_there_is_nothing_to_exchange():
    x = torch.tensor([1.0, -3.0], requires_grad=True)
    assert (rank(), world_size()) == (0, 1)
    assert global_sum(x) is x
    assert torch.equal(global_max(x), x)
    assert not global_max(x).requires_grad


def test_devices():
    with process_group('cpu') as device:
        assert device == torch.device('cpu')
    if not torch.cuda.is_available():
        with process_group('auto') as device:
            assert device.type == 'cpu'
        with pytest.raises(ValueError, match='sees no CUDA device; expected cpu here'), process_group('cuda'):
            pass


@pytest.mark.parametrize('device', ['gpu', 'cuda:x', 'meta'])
def test_a_device_that_is_none(device):
    with (
        pytest.raises(ValueError, match=f"device '{device}': expected auto, cpu, cuda or cuda:N"),
        process_group(device),
    ):
        pass


def test_a_group_is_left_at_the_end(monkeypatch):
    for name, value in {'WORLD_SIZE': '1', 'RANK': '0', 'LOCAL_RANK': '0', 'MASTER_ADDR': 'localhost'}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv('MASTER_PORT', '0')
    with process_group('cpu'):
        assert torch.distributed.is_initialized()
        assert world_size() == 1
    assert not torch.distributed.is_initialized()

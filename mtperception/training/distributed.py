# SPDX-License-Identifier: Apache-2.0
"""One process or several: sums and maxima over all of them. Without torch.distributed there is one.

Losses are written as if one process saw the whole batch: sums are divided by counts of the global batch. Each process
then differentiates the same global loss by its own part of the batch, and the gradients of all have to be added up.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mtperception.errors import InputError, RunError

PATIENCE = timedelta(hours=12)
"""How long processes wait for the first one, which alone validates. `torchrun` notices processes that end."""
BACKENDS = {'cuda': 'nccl', 'cpu': 'gloo'}


def rank() -> int:
    """Number of this process; 0 is the one that writes files."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """Number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def global_sum(local: torch.Tensor) -> torch.Tensor:
    """Sum of a tensor over all processes.

    Its gradient reaches the part of this process only, multiplied by the number of processes: DistributedDataParallel
    divides by that when it averages, so that the gradients of all are added up.
    """
    if world_size() == 1:
        return local
    total = local.detach().clone()
    distributed.all_reduce(total)
    return total + world_size() * (local - local.detach())


def global_cat(local: torch.Tensor) -> torch.Tensor:
    """The tensors of all processes, each of the same shape, one after the other along their first dimension.

    Gradients as for `global_sum`.
    """
    if world_size() == 1:
        return local
    parts = [torch.empty_like(local) for _ in range(world_size())]
    distributed.all_gather(parts, local.detach().contiguous())
    parts[rank()] = local.detach() + world_size() * (local - local.detach())
    return torch.cat(parts)


def global_max(local: torch.Tensor) -> torch.Tensor:
    """Largest value of a tensor over all processes; it has no gradient."""
    largest = local.detach().clone()
    if world_size() > 1:
        distributed.all_reduce(largest, op=distributed.ReduceOp.MAX)
    return largest


def share_buffers(network: nn.Module) -> None:
    """Give all processes the batch norm statistics of the first, which alone writes checkpoints."""
    if world_size() > 1:
        for statistics in network.buffers():
            distributed.broadcast(statistics, 0)


def wait_for_all() -> None:
    """Go on when all processes have come here."""
    if world_size() > 1:
        distributed.barrier()


def parallel(network: nn.Module, device: torch.device) -> nn.Module:
    """A network whose gradients are those of all processes."""
    if world_size() == 1:
        return network
    devices = [device] if device.type == 'cuda' else None
    return DistributedDataParallel(network, device_ids=devices, find_unused_parameters=True)


@contextmanager
def process_group(device: str) -> Iterator[torch.device]:
    """Joins the processes that `torchrun` started, if it did; yields the device of this one.

    Args:
        device: 'auto' (CUDA if there is one), 'cpu', 'cuda' or 'cuda:N'; with several processes on one machine each
            takes the CUDA device of its local rank.

    Raises:
        ValueError: if the device is unknown, or a CUDA device is asked for and there is none.
        RunError: if another process has ended, so that nothing can be exchanged with it.
    """
    if device == 'auto':
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InputError(f'device {device!r}: expected auto, cpu, cuda or cuda:N') from error
    if chosen.type not in BACKENDS:
        raise InputError(f'device {device!r}: expected auto, cpu, cuda or cuda:N')
    if chosen.type == 'cuda' and not torch.cuda.is_available():
        raise InputError(f'device {device!r}: PyTorch {torch.__version__} sees no CUDA device; expected cpu here')
    if 'WORLD_SIZE' not in os.environ:
        yield chosen
        return
    if chosen.type == 'cuda':
        chosen = torch.device('cuda', int(os.environ['LOCAL_RANK']))
        torch.cuda.set_device(chosen)
    distributed.init_process_group(BACKENDS[chosen.type], timeout=PATIENCE)
    try:
        yield chosen
    except RuntimeError as error:
        if not _is_of_another_process(error):
            raise
        raise RunError(
            f'another training process has ended or cannot be reached, as seen by process {rank()} ({error}): see '
            'what that one said, then start all of them again: the run resumes from its last checkpoint'
        ) from error
    finally:
        distributed.destroy_process_group()


def _is_of_another_process(error: RuntimeError) -> bool:
    """Whether an exchange failed: Gloo has no error class of its own, but names its file."""
    return isinstance(error, distributed.DistError) or '/gloo/' in str(error)

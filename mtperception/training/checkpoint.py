# SPDX-License-Identifier: Apache-2.0
"""Checkpoints: all that a run needs to go on, in one file that is either the old or the new one.

A safetensors file: tensors by name, and in its header, as JSON, scalars and the configuration. No pickle: a
checkpoint from anywhere can be opened.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch.optim import Optimizer

from mtperception.atomic_write import write_bytes_atomically
from mtperception.errors import CheckpointError

FORMAT = 'mtperception checkpoint 1'
Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """State of a run between two steps."""

    tensors: Tensors
    """By `<kind>/<name>`: `network/...`, `average/...`, `weighting/...`, `gradients/...`,
    `weighting_gradients/...`, `optimizer/<part>/...`."""
    scalars: dict[str, Any]
    """What JSON can hold: progress, best metric, configuration."""

    def group(self, kind: str) -> Tensors:
        """The tensors of one kind, without its name."""
        prefix = f'{kind}/'
        return {name.removeprefix(prefix): x for name, x in self.tensors.items() if name.startswith(prefix)}

    def write(self, path: Path) -> None:
        """Write the file, or leave the earlier one.

        Raises:
            WriteError: if it cannot be written.
        """
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        # Not save_file: what that leaves beside the file when it is killed has another name each time.
        content = save(tensors, {'format': FORMAT, 'state': json.dumps(self.scalars)})
        write_bytes_atomically(path, content, durable=True)

    @classmethod
    def read(cls, path: Path) -> 'Checkpoint':
        """Read a file.

        Raises:
            CheckpointError: if it is missing, damaged, or not a checkpoint.
        """
        if path.is_dir():
            raise CheckpointError(
                f'{path}: not a checkpoint but a folder: expected one in it, such as best.safetensors'
            )
        try:
            with safe_open(path, 'pt') as file:
                header = file.metadata() or {}
                if header.get('format') != FORMAT:
                    raise CheckpointError(f'{path}: not a checkpoint: expected a file that mtperception train wrote')
                return cls({name: file.get_tensor(name) for name in file.keys()}, json.loads(header['state']))  # noqa: SIM118
        except (OSError, SafetensorError, json.JSONDecodeError, KeyError) as error:
            raise CheckpointError(f'{path}: not a readable checkpoint: {error}') from error


def is_checkpoint(path: Path) -> bool:
    """Whether a file says that it is a checkpoint of this package."""
    try:
        with safe_open(path, 'pt') as file:
            return (file.metadata() or {}).get('format') == FORMAT
    except (OSError, SafetensorError):
        return False


def named(kind: str, tensors: Mapping[str, torch.Tensor]) -> Tensors:
    """Tensors under the names that `Checkpoint.group(kind)` finds them by."""
    return {f'{kind}/{name}': x for name, x in tensors.items()}


def optimizer_tensors(optimizer: Optimizer) -> Tensors:
    """The state of an optimizer, by `<parameter's number>/<name>`; rates come from the configuration."""
    state = optimizer.state_dict()['state']
    return {
        f'{index}/{name}': torch.as_tensor(value)
        for index, values in state.items()
        for name, value in values.items()
        if value is not None
    }


def load_optimizer(optimizer: Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Take over the state that `optimizer_tensors` gave, laid out in memory as the parameters are."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group['params']]
    state: dict[int, Tensors] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition('/')
        parameter = parameters[int(index)]
        if tensor.shape == parameter.shape:
            tensor = torch.empty_like(parameter, dtype=tensor.dtype).copy_(tensor)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({'state': state, 'param_groups': optimizer.state_dict()['param_groups']})

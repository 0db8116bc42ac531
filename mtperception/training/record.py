# SPDX-License-Identifier: Apache-2.0
"""What stays of a run besides its checkpoints: configuration, versions, losses, metrics and pictures."""

import fcntl
import json
import math
import platform
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
import torch
import yaml

from mtperception import __version__
from mtperception.atomic_write import write_errors, write_json_atomically, write_text_atomically
from mtperception.errors import MissingPackageError
from mtperception.hardware import describe_hardware
from mtperception.training.checkpoint import CheckpointError
from mtperception.training.config import TrainConfig
from mtperception.training.config_file import config_to_dict
from mtperception.training.distributed import rank, world_size

CONFIG, RUN, HISTORY, LOCK = 'config.yaml', 'run.json', 'history.jsonl', '.lock'


class Record:
    """Writes into the folder of a run; in processes other than the first it writes nothing.

    `config.yaml`: the configuration, complete. `run.json`: versions, git revision, hardware. `history.jsonl`: one line
    per epoch. `tensorboard/`: scalars and pictures.

    Args:
        out: the folder.
        config: of the run.
        steps: done already.
        epochs: done already, with validation and checkpoint.

    Raises:
        ImportError: if TensorBoard is not installed.
        CheckpointError: if another process writes there, or files of these names are not of a run.
    """

    def __init__(self, out: Path, config: TrainConfig, steps: int, epochs: int) -> None:
        self._writer = None
        self._began = self._stepped = (time.monotonic(), steps)
        """When the epoch, and its last step so far, was at which step."""
        if rank():
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingPackageError(
                f'training needs TensorBoard ({error}): pip install "mtperception[train]"'
            ) from error
        out.mkdir(parents=True, exist_ok=True)
        self._history = out / HISTORY
        self._held = _held(out)
        if (out / CONFIG).exists() and not (out / RUN).exists() and not steps:
            raise CheckpointError(f'{out / CONFIG} would be replaced, and is not of a run: use another --out')
        _forget_after(self._history, epochs)
        write_json_atomically(out / RUN, _surroundings())  # first: by it the folder is known as that of a run
        write_text_atomically(out / CONFIG, complete(config))
        self._writer = SummaryWriter(str(out / 'tensorboard'), purge_step=steps + 1)

    def begin_epoch(self, steps: int) -> None:
        """Take the time from here on; `steps` are done."""
        self._began = (time.monotonic(), steps)

    def step(self, steps: int, losses: Mapping[str, float]) -> None:
        """Keep the losses of a step."""
        self._stepped = (time.monotonic(), steps)
        if self._writer:
            for task, loss in losses.items():
                self._writer.add_scalar(f'loss/{task}', loss, steps)

    def epoch(self, epoch: int, steps: int, losses: Mapping[str, float], metrics: Mapping[str, float]) -> None:
        """Keep the mean losses of an epoch, its metrics if it was measured, and the seconds that a step took."""
        (began, first), (ended, last) = self._began, self._stepped
        if not self._writer:
            return
        for name, value in metrics.items():
            self._writer.add_scalar(f'validation/{name}', value, steps)
        seconds = (ended - began) / max(last - first, 1)
        line = {'epoch': epoch, 'steps': steps, 'seconds_per_step': seconds, 'losses': losses}
        line['metrics'] = {name: None if math.isnan(value) else value for name, value in metrics.items()}
        with write_errors(self._history), self._history.open('a', encoding='utf-8') as file:
            file.write(json.dumps(line) + '\n')

    def pictures(self, steps: int, pictures: list[np.ndarray]) -> None:
        """Keep pictures, uint8 H,W,3 each."""
        if self._writer:
            for number, picture in enumerate(pictures):
                self._writer.add_image(f'validation/{number}', picture, steps, dataformats='HWC')

    def close(self) -> None:
        """Write what is left."""
        if self._writer:
            self._writer.close()
            self._held.close()


def complete(config: TrainConfig) -> str:
    """A configuration with all its keys, as a run keeps it."""
    return yaml.safe_dump(config_to_dict(config), sort_keys=False)


def _forget_after(history: Path, epochs: int) -> None:
    """Drop the lines that a killed run wrote after its last checkpoint: they will be written again."""
    if history.exists():
        try:
            lines = history.read_text(encoding='utf-8').splitlines(keepends=True)
            if not all(line.startswith('{') for line in lines):
                raise ValueError
            kept = [line for line in lines if line.endswith('\n') and json.loads(line)['epoch'] <= epochs]
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f'{history} would be replaced, and is not of a run: use another --out') from error
        write_text_atomically(history, ''.join(kept))


def _held(folder: Path) -> IO[bytes]:
    """A file that belongs to this process as long as it lives: two that train in one folder would mix their runs."""
    file = (folder / LOCK).open('ab')
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        file.close()
        raise CheckpointError(f'{folder}: another process trains there: wait for it, or use another --out') from error
    except OSError:  # a file system without locks
        pass
    return file


def _surroundings() -> dict[str, str | int]:
    """What a result may depend on besides the configuration."""
    return {
        'mtperception': __version__,
        'revision': _revision(),
        'python': platform.python_version(),
        'torch': torch.__version__,
        'hardware': describe_hardware(),
        'processes': world_size(),
    }


def _revision() -> str:
    """Revision of the source tree by git; 'unknown' if the package is installed without it."""
    source = Path(__file__).resolve().parents[2]
    if not (source / '.git').exists():  # a repository around the environment that it is installed in is not its own
        return 'unknown'
    command = ['git', 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*']
    try:
        done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    except OSError:
        return 'unknown'
    return done.stdout.strip() or 'unknown'

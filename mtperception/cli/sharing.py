# SPDX-License-Identifier: Apache-2.0
"""Options of commands whose work can be divided, and how far it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from mtperception.data.files import list_of
from mtperception.scale.shard import Shard
from mtperception.scale.workers import Workers


def _parse(text: str | Shard) -> Shard:
    try:
        return Shard.parse(str(text))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


ShardOption = Annotated[
    Shard,
    typer.Option(
        parser=_parse,
        metavar='I/N',
        show_default='everything',
        help='Do only share I of N, counted from 1.',
    ),
]
PartsOption = Annotated[
    Path | None, typer.Option(metavar='DIR', help='Keep finished parts here, to divide or to resume the work.')
]
WorkersOption = Annotated[
    int, typer.Option(min=0, metavar='N', help='Worker processes, started by Ray; 0: work in this process.')
]
AddressOption = Annotated[
    str,
    typer.Option(
        metavar='RAY',
        help='Address of a running Ray cluster, such as auto or ray://HOST:10001; default: start one here.',
    ),
]
GpusOption = Annotated[
    float, typer.Option('--gpus-per-worker', min=0.0, help='GPUs per worker; 0.5: two workers share one.')
]
DryRunOption = Annotated[bool, typer.Option('--dry-run', help='Print what would be done, and stop.')]


@dataclass(frozen=True)
class WorkerSettings:
    """Who does the work, as one record of options (`with_records`)."""

    workers: WorkersOption = 0
    address: AddressOption = ''
    gpus: GpusOption = 0.0
    dry_run: DryRunOption = False

    @property
    def pool(self) -> Workers | None:
        """The workers that the options ask for; None if the work is done in this process.

        Raises:
            BadParameter: if workers are described but none are asked for.
        """
        if self.workers:
            return Workers(self.workers, self.address, self.gpus)
        if self.address or self.gpus:
            raise typer.BadParameter('expected together with --workers', param_hint='--address, --gpus-per-worker')
        return None

    def __str__(self) -> str:
        """In words."""
        return f'{self.workers} workers' if self.workers else 'this process'


def absolute_split(root: Path, split: str) -> str:
    """A split as a process with another working directory finds it: a name as it is, a file by its whole path.

    What has neither a folder nor a suffix is a name, since many data sets have splits of their own.
    """
    is_path = Path(split).name != split or bool(Path(split).suffix)
    path = list_of(root, split) if is_path else None
    return split if path is None else str(path.absolute())


class _Rate(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        return Text('' if task.speed is None else f'{task.speed:.1f}/s')


@contextmanager
def rate_progress(description: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar with the rate and the time that is left: yields a function that moves it to how much is done."""
    console = Console(stderr=True)
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.update(task, completed=done)

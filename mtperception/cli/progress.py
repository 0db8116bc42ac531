# SPDX-License-Identifier: Apache-2.0
"""A progress bar on standard error; nothing where that is not a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, TextColumn


@contextmanager
def progress(description: str, total: float | None) -> Iterator[Callable[[float], None]]:
    """Yields a function that moves the bar to how much is done; a total of None is one that is not known."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def progress_with_text(description: str, quiet: bool = False) -> Iterator[Callable[[int, int, str], None]]:
    """As `progress`, with the time that is left: yields a function of what is done, the total, and a text to show."""
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), TextColumn('{task.fields[text]}'))
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task(description, total=None, text='')
        yield lambda done, total, text: bar.update(task, completed=done, total=total, text=text)

# SPDX-License-Identifier: Apache-2.0
"""Where tables for people are printed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

WIDTH = 200
"""Characters of a line in a file or pipe: whole paths are left, for whoever searches them."""


def table_console() -> Console:
    """Standard output, as wide as the terminal; wide where there is none."""
    console = Console(markup=False)  # names may have square brackets
    if not console.is_terminal:
        console.width = WIDTH
    return console


@contextmanager
def printed_in_any_case(show: Callable[[], None]) -> Iterator[None]:
    """Show results after the block that writes them, and where that fails, too: whoever reads them may have gone."""
    try:
        yield
    finally:
        show()

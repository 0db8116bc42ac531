# SPDX-License-Identifier: Apache-2.0
"""Where tables for people are printed."""

from rich.console import Console

WIDTH = 200
"""Characters of a line in a file or pipe: whole paths are left, for whoever searches them."""


def table_console() -> Console:
    """Standard output, as wide as the terminal; wide where there is none."""
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    return console

# SPDX-License-Identifier: Apache-2.0
"""What commands say about what they read, on standard error."""

from collections.abc import Iterable

import typer

from mtperception.sources import Source


def say_reading(source: Source) -> None:
    """Which images these are: of a bag, the topic that was chosen."""
    typer.echo(f'reading {source.description}', err=True)


def say_notes(notes: Iterable[str], of: str = '') -> None:
    """What a user should know besides the result.

    Args:
        notes: one a line.
        of: what they are about, where a command reads several things.
    """
    for note in notes:
        typer.echo(f'note: {of}{": " if of else ""}{note}', err=True)

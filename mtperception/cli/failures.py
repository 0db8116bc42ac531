# SPDX-License-Identifier: Apache-2.0
"""Items that could not be used, while the others were done."""

from collections.abc import Mapping

import typer

LISTED = 20


def check_failures(failed: Mapping[str, str], what: str, advice: str) -> None:
    """List what failed, each with its reason.

    Args:
        failed: the reason by item.
        what: what the items are, in the plural.
        advice: what the user can do.

    Raises:
        Exit: with status 1, if anything failed.
    """
    if not failed:
        return
    for name, reason in list(failed.items())[:LISTED]:
        typer.echo(reason if reason.startswith(name) else f'{name}: {reason}', err=True)
    more = f' (the first {LISTED} are listed)' if len(failed) > LISTED else ''
    typer.echo(f'error: {len(failed)} {what} failed{more}: {advice}', err=True)
    raise typer.Exit(1)

"""The option `--shard I/N` of commands whose work can be divided."""

from typing import Annotated

import typer

from mtperception.scale.shard import Shard


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
        help='Do only the I-th of N shares of the work, from 1 on.',
    ),
]

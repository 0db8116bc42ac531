# SPDX-License-Identifier: Apache-2.0
"""`mtperception import`: a published checkpoint becomes a model directory."""

from pathlib import Path
from typing import Annotated

import typer

from mtperception.cli.progress import progress
from mtperception.errors import needs


def class_slice(text: str) -> tuple[int, int]:
    """First class and end out of FIRST:END; a usage error for anything else."""
    first, colon, end = text.partition(':')
    if not (colon and first.isdecimal() and end.isdecimal()):
        raise typer.BadParameter(f'found {text!r}, expected FIRST:END, such as 0:40')
    return int(first), int(end)


def import_(
    checkpoint: Annotated[Path, typer.Argument(help='The published checkpoint.', metavar='PUBLISHED.ckpt')],
    network: Annotated[str, typer.Option(help='Name of its network.')],
    label_space: Annotated[str, typer.Option(help='The label space of its segmentation head.')],
    out: Annotated[Path, typer.Option(help='The model directory to write.')],
    classes: Annotated[
        str | None, typer.Option(help='Predict only the classes FIRST to END - 1; default: all.', metavar='FIRST:END')
    ] = None,
) -> None:
    """Turn a published checkpoint into a model directory.

    Example: mtperception import mobilenetv2-joint.ckpt --network joint_lw_refinenet --label-space nyuv2_40
    --out models/published
    """
    chosen = None if classes is None else class_slice(classes)
    with progress('importing, exporting and comparing', None):
        with needs('import', 'PyTorch', 'torch'):
            from mtperception.published import import_checkpoint
        parity = import_checkpoint(checkpoint, network, label_space, out, chosen)
    typer.echo(f'{out}: {parity}')

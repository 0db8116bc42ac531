# SPDX-License-Identifier: Apache-2.0
"""`mtperception export`: a checkpoint becomes a model directory."""

from pathlib import Path
from typing import Annotated

import typer

from mtperception.cli.import_ import class_slice
from mtperception.cli.progress import progress
from mtperception.errors import needs


def export(
    checkpoint: Annotated[Path, typer.Argument(help='A file that `mtperception train` wrote.', metavar='CHECKPOINT')],
    out: Annotated[Path, typer.Option(help='The model directory to write.')],
    others: Annotated[
        list[str] | None,
        typer.Argument(
            help='More checkpoints or models: the mean of all weights is exported.', metavar='[CHECKPOINT|MODEL]...'
        ),
    ] = None,
    classes: Annotated[
        str | None, typer.Option(help='Predict only the classes FIRST to END - 1; default: all.', metavar='FIRST:END')
    ] = None,
    calibrate: Annotated[
        bool,
        typer.Option('--calibrate', help='Calibrate the confidence on the validation images of the run.'),
    ] = False,
    half: Annotated[
        bool, typer.Option('--half', help='Round the weights to 16 bits: half the file size, same speed.')
    ] = False,
) -> None:
    """Turn a checkpoint of a training run into a model directory.

    The exported graph is compared with PyTorch before anything is written. --calibrate fits the softmax temperature on
    the validation images, so that confidences are close to the share of right labels. It does not change the labels.

    The mean of several models of one network is often better than each of them. All but the weights is that of the
    first; one that is named twice counts twice.

    Example: mtperception export runs/nyuv2_indoor/best.safetensors --out models/mine
    """
    chosen = None if classes is None else class_slice(classes)
    with progress('exporting and comparing', None):
        with needs('export', 'PyTorch', 'train'):
            from mtperception.training.checkpoint_export import export_checkpoint
        parity = export_checkpoint(checkpoint, out, chosen, others=others or (), calibrate=calibrate, half=half)
    typer.echo(f'{out}: {parity}')

# SPDX-License-Identifier: Apache-2.0
"""`mtperception download`: data sets and models, from where their authors keep them."""

from pathlib import Path
from typing import Annotated

import typer

from mtperception import resources
from mtperception.card import CARD
from mtperception.cli.folders import make_folder
from mtperception.cli.progress import progress
from mtperception.cli.usage import check_usage
from mtperception.data import check_downloadable, downloadable, remote_files
from mtperception.download import fetch, fetched_for_once
from mtperception.errors import InputError, needs
from mtperception.model_archive import install_model, remote_model
from mtperception.published_weights import PUBLISHED, REPOSITORY, remote_checkpoint

MODEL, CHECKPOINT = 'model:', 'published:'
WITH_SPLITS, SPLIT = 'kitti', 'train'


def download(
    what: Annotated[
        str,
        typer.Argument(
            help=f'A data set ({", ".join(downloadable())}), {CHECKPOINT}NAME ({", ".join(PUBLISHED)}), or '
            f'{MODEL}NAME or {MODEL}URL#sha256=HEX.'
        ),
    ],
    root: Annotated[
        Path | None, typer.Option(help="Folder of the data set, or of models: by default the user's data folder.")
    ] = None,
    split: Annotated[str, typer.Option(help=f'For {WITH_SPLITS}: the list of images whose drives to fetch.')] = SPLIT,
) -> None:
    """Fetch the files of a data set, or a model.

    Run it again to resume after an interruption. The authors' terms apply (docs/datasets.md). Models are verified, and
    can then be used by --model NAME.

    Example: mtperception download nyuv2 --root data/nyuv2_official

    Example: mtperception download published:ExpNYUD_joint
    """
    check_usage((split != SPLIT and what != WITH_SPLITS, '--split', f'is for {WITH_SPLITS}'))
    if what.startswith((MODEL, CHECKPOINT)):
        folder = resources.user_folder('model') if root is None else root.expanduser()
        get = _model if what.startswith(MODEL) else _published
        get(what.partition(':')[2], folder)
        return
    check_downloadable(what)
    if root is None:
        raise typer.BadParameter(f'{what} is a data set: expected --root with the folder for it')
    _dataset(what, root.expanduser(), split)


def _dataset(name: str, root: Path, split: str) -> None:
    make_folder(root, '--root')
    for file in remote_files(name, root, split):
        is_new = fetch(file, root, progress)
        typer.echo(f'{file.name}: {"fetched" if is_new else "already exists"}', err=True)
    typer.echo(f'{root}: has all files of {name}', err=True)


def _model(what: str, folder: Path) -> None:
    archive = remote_model(what)
    make_folder(folder, '--root')
    place, is_new = install_model(archive, folder, progress)
    typer.echo(f'{place}: {"installed" if is_new else "already exists"}; use it with --model {_name(place)}', err=True)


def _published(name: str, folder: Path) -> None:
    if name not in PUBLISHED:
        raise InputError(f'unknown checkpoint {name!r}: expected one of {", ".join(PUBLISHED)}')
    make_folder(folder, '--root')
    place = folder / name
    if (place / CARD).is_file():
        typer.echo(f'{place}: already exists; use it with --model {_name(place)}', err=True)
        return
    with needs('import', 'PyTorch', 'torch'):
        from mtperception.published import import_checkpoint
    published, file = PUBLISHED[name], remote_checkpoint(name)
    typer.echo(f'{name}: {published.what}; from github.com/{REPOSITORY}', err=True)
    typer.echo(f'licence: {published.training["licence"]}', err=True)
    with (
        fetched_for_once(file, folder, progress) as checkpoint,
        progress('importing, exporting and comparing', None),
    ):
        parity = import_checkpoint(
            checkpoint, 'joint_lw_refinenet', published.label_space, place, training=published.training
        )
    typer.echo(f'{place}: {parity}; use it with --model {_name(place)}', err=True)


def _name(place: Path) -> str:
    """How `--model` names it: alone where it is in the user's data folder."""
    return place.name if place.parent == resources.user_folder('model') else str(place)

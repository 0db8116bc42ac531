"""`mtperception download`: the files of a data set, from where their authors keep them."""

from pathlib import Path
from typing import Annotated

import typer

from mtperception.cli.folders import make_folder
from mtperception.cli.progress import progress
from mtperception.data import DATASETS, remote_files
from mtperception.data.download import fetch


def download(
    dataset: Annotated[str, typer.Argument(help=f'One of {", ".join(DATASETS)}.')],
    root: Annotated[Path, typer.Option(help='Folder of the data set; made if need be.')],
    split: Annotated[str, typer.Option(help='For kitti: the list of images whose drives to fetch.')] = 'train',
) -> None:
    """Fetch the files of a data set.

    Run it again to go on after an interruption. The terms are those of the authors (docs/datasets.md).

    Example: mtperception download nyuv2 --root data/nyuv2_official
    """
    root = root.expanduser()
    make_folder(root, '--root')
    for file in remote_files(dataset, root, split):
        is_new = fetch(file, root, progress)
        typer.echo(f'{file.name}: {"fetched" if is_new else "there already"}', err=True)
    typer.echo(f'{root}: all files of {dataset} are there', err=True)

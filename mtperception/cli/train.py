# SPDX-License-Identifier: Apache-2.0
"""`mtperception train`: run a configuration."""

from pathlib import Path
from typing import Annotated

import typer

from mtperception.cli.folders import naming_option
from mtperception.cli.progress import progress_with_text
from mtperception.errors import InputError, needs
from mtperception.tasks import metric_of


def train(
    config: Annotated[str, typer.Argument(help='A YAML file, or the name of one in config/train.', metavar='CONFIG')],
    changes: Annotated[
        list[str] | None, typer.Argument(help='Changes of the configuration.', metavar='KEY.SUBKEY=VALUE')
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help='Folder of the run; default: runs/ and the name of CONFIG without .yaml.'),
    ] = None,
) -> None:
    """Train a network by a configuration.

    A run that was stopped resumes from its last checkpoint.

    Example: mtperception train nyuv2_indoor paths.nyuv2=/data/nyuv2 epochs=20
    """
    with needs('train', 'PyTorch and what trains with it', 'train'):
        from mtperception.training.checkpoint import Checkpoint
        from mtperception.training.config_file import load_config
        from mtperception.training.distributed import process_group, rank
        from mtperception.training.record import CONFIG, complete
        from mtperception.training.trainer import BEST, LAST, Trainer
    loaded = load_config(config, changes or ())
    name = Path(config).stem if Path(config).is_file() else config.removesuffix('.yaml')
    folder = out or Path('runs') / name
    kept = (folder / CONFIG).resolve()
    if Path(config).resolve() == kept and kept.is_file() and kept.read_text(encoding='utf-8') != complete(loaded):
        raise InputError(
            f'{config} is where the run keeps its complete configuration, which would replace it: choose another --out'
        )
    with process_group(loaded.device) as device, progress_with_text(folder.name, quiet=rank() > 0) as report:
        trainer = Trainer(loaded, folder, device)
        with naming_option('--out'):
            trainer.fit(report)
        first = rank() == 0  # later there is no group to ask
    if first:
        kept = folder / (BEST if (folder / BEST).exists() else LAST)
        state = Checkpoint.read(kept).scalars
        figures = [f'{name} {metric_of(name).format(value)}' for name, value in state['metrics'].items()]
        typer.echo(f'{kept}: ' + ', '.join([f'{state["steps"]} steps', *figures]))

# SPDX-License-Identifier: Apache-2.0
"""The command line: results go to standard output, messages and errors to standard error.

Exit status: 0, 1 (failed: one line says what and what to do), 2 (usage), 130 (interrupted), 128 + N (by signal N).
"""

import importlib
import logging
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated

import typer

from mtperception import __version__
from mtperception.cli.command import Command
from mtperception.cli.error_report import ended_by_signals, explain

COMMANDS = {
    'demo': (
        'mtperception.cli.demo:demo',
        'Play a stream to the node over ROS 2, record its outputs, and report its latency.',
    ),
    'predict': ('mtperception.cli.predict:predict', 'Depth and labels of images, folders, videos and bags.'),
    'label': (
        'mtperception.cli.label:label',
        'Label images that have no ground truth with the labels and depth of a teacher.',
    ),
    'evaluate': (
        'mtperception.cli.evaluate:evaluate',
        "Compare a model's predictions with the truth of a data set.",
    ),
    'export-sequence': (
        'mtperception.cli.export_sequence:export_sequence',
        "Write a recording with the model's depth, or a table of its classes, in the format of a mapping system.",
    ),
    'map': (
        'mtperception.cli.map:map_',
        'Fuse depth and labels under known poses into one mesh with a class for each vertex.',
    ),
    'map-quality': (
        'mtperception.cli.map_quality:map_quality',
        'Measure the quality of maps of a recording, by fusion rule and voxel size.',
    ),
    'replay': (
        'mtperception.cli.replay:replay',
        'Score a model on every image of a ROS 2 bag, in order.',
    ),
    'replay-many': (
        'mtperception.cli.replay_many:replay_many',
        'Score a model on many ROS 2 bags: per bag, per group and in total.',
    ),
    'benchmark': (
        'mtperception.cli.benchmark:benchmark',
        'Measure how fast a model is on this machine, compared with plain eager PyTorch.',
    ),
    'compare': (
        'mtperception.cli.compare:compare',
        'Score several models on the same images, and measure the cost of each.',
    ),
    'benchmark-node': (
        'mtperception.cli.benchmark_node:benchmark_node',
        'Measure the rate that the node keeps up with: a camera, the node and a subscriber, as three processes.',
    ),
    'train': ('mtperception.cli.train:train', 'Train a network by a configuration.'),
    'doctor': ('mtperception.cli.doctor:doctor', 'Check what this machine can run, and what is missing.'),
    'download': ('mtperception.cli.download:download', 'Fetch the files of a data set, or a model.'),
    'export': ('mtperception.cli.export:export', 'Turn a checkpoint of a training run into a model directory.'),
    'import': ('mtperception.cli.import_:import_', 'Turn a published checkpoint into a model directory.'),
}
"""Function and summary by command; only the command that runs is imported."""

DEBUG = '--debug'
TABLE_WIDTH = 100
"""Columns of a terminal from which on help comes in tables."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line on `arguments`, by default the process's own, and return its exit status."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    arguments = [_with_home(argument) for argument in given if argument != DEBUG]
    logging.basicConfig(format='%(message)s')
    logging.getLogger('mtperception').setLevel(logging.INFO)
    try:
        with ended_by_signals():
            _build_app(arguments)(arguments, prog_name='mtperception')
    except SystemExit as exit_request:
        return exit_request.code
    except Exception as error:  # noqa: BLE001 - all that is left is to explain it
        if DEBUG in given:
            traceback.print_exc()
        print(f'error: {explain(error, given)}', file=sys.stderr)
        return 1
    return 0


def _with_home(argument: str) -> str:
    """An argument whose path starts at the home folder: a shell leaves the ~ in `--out=~/maps` and in quotes."""
    option, equals, value = argument.partition('=') if argument.startswith('--') else ('', '', argument)
    is_home = value == '~' or value.startswith('~/')
    return option + equals + str(Path(value).expanduser()) if is_home else argument


def _build_app(arguments: Sequence[str]) -> typer.Typer:
    """All commands, of which the one that `arguments` name is the real one and the others are there for the help."""
    app = typer.Typer(
        callback=_root,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        # Narrow tables of rich cut the names of options off; plain help puts them on lines of their own.
        rich_markup_mode='rich' if get_terminal_size().columns >= TABLE_WIDTH else None,
    )
    chosen = next((argument for argument in arguments if not argument.startswith('-')), None)
    for name, (target, summary) in COMMANDS.items():
        if name == chosen:
            command = _load(target)
            app.command(name, help=_paragraphs(command.__doc__ or ''), cls=Command)(command)
        else:
            app.command(name, help=summary)(lambda: None)
    return app


def _load(target: str) -> Callable[..., None]:
    module, _, function = target.partition(':')
    return getattr(importlib.import_module(module), function)


def _paragraphs(docstring: str) -> str:
    """A docstring with each paragraph on one line: rich keeps line ends where it should wrap."""
    return '\n\n'.join(' '.join(paragraph.split()) for paragraph in docstring.split('\n\n'))


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option('--version', callback=_print_version, is_eager=True, help='Show the version and exit.')
    ] = False,
    debug: Annotated[bool, typer.Option(DEBUG, help='With any command: show the traceback of an error.')] = False,
) -> None:
    """Real-time joint semantic segmentation and metric depth from one camera.

    Example: mtperception demo --seconds 10
    """

# SPDX-License-Identifier: Apache-2.0
"""Records of options: a command is given the record, its user sees the options."""

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from mtperception.cli.option_records import with_records

given = []


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option(min=1, help='In pixels.')] = 640
    is_square: Annotated[bool, typer.Option('--square')] = False


@dataclass(frozen=True)
class NamedSize(Size):
    name: str = ''


@with_records
def command(path: Annotated[str, typer.Argument()], size: NamedSize, out: Annotated[str, typer.Option()]) -> None:
    """Do something."""
    given.append((path, size, out))


def run(*arguments):
    app = typer.Typer()
    app.command()(command)
    given.clear()
    return CliRunner().invoke(app, arguments)


def test_fields_are_options_that_make_the_record():
    assert run('a', '--out', 'b', '--width', '3', '--square', '--name', 'c').exit_code == 0
    assert given == [('a', NamedSize(3, True, 'c'), 'b')]
    assert run('a', '--out', 'b').exit_code == 0
    assert given == [('a', NamedSize(), 'b')]


def test_help_and_checks_are_those_of_the_fields():
    said = run('--help').output
    assert 'Do something.' in said
    assert 'In pixels.' in said
    assert '--size' not in said
    assert run('a', '--out', 'b', '--width', '0').exit_code == 2
    assert run('a').exit_code == 2
    assert given == []

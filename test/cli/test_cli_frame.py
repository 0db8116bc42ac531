# SPDX-License-Identifier: Apache-2.0
"""The frame of the command line: what is imported when, exit status, and what goes to which stream."""

import errno
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from itertools import pairwise
from types import SimpleNamespace

import pytest

from mtperception import __version__, cli
from mtperception.atomic_write import atomic_file
from mtperception.cli import error_report
from mtperception.errors import InputError, MissingPackageError, RunError, SourceError, WriteError

CLICKS = ('is not a valid', 'is not in the range')
"""Earlier versions of typer say it in the words of click."""
HEAVY = ('numpy', 'cv2', 'torch', 'onnxruntime', 'rclpy')


def run_module(*arguments):
    command = [sys.executable, '-m', 'mtperception', *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def skip_unless_installed(name):
    """Skips where a command's extra is not there, or not what its packages are linked with."""
    pytest.importorskip(cli.COMMANDS[name][0].partition(':')[0], exc_type=MissingPackageError)


@pytest.fixture
def command(monkeypatch):
    """Lists a function as the command `trial`."""

    def add(function):
        monkeypatch.setitem(sys.modules, 'trial_command', SimpleNamespace(trial=function))
        monkeypatch.setitem(cli.COMMANDS, 'trial', ('trial_command:trial', 'A trial.'))

    return add


def test_help_imports_nothing_heavy():
    """It comes at once then."""
    code = f'import sys; from mtperception.cli import main; main(["--help"]); print(set(sys.modules) & set({HEAVY}))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.rstrip().endswith('set()')


def test_version():
    done = run_module('--version')
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, __version__, '')


@pytest.mark.parametrize('arguments', [['nonesuch'], ['--nonesuch'], ['import'], ['import', '--nonesuch']])
def test_wrong_usage_exits_with_2(arguments):
    assert cli.main(arguments) == 2


@pytest.mark.parametrize(
    ('arguments', 'expected'),
    [
        (['map', 'x', '--out', 'o', '--fusion', 'nope'], ["found 'nope', expected one of bayes, average, "]),
        (['map', 'x', '--out', 'o', '--kept-classes', 'abc'], ["found 'abc', expected a whole number", *CLICKS]),
        (['map', 'x', '--out', 'o', '--voxel-size', 'abc'], ["found 'abc', expected a number", *CLICKS]),
        (['map', 'x', '--out', 'o', '--voxel-size', '9'], ['found 9, expected at most 1', *CLICKS]),
        (['map', 'x', '--out', 'o', '--kept-classes=-1'], ['found -1, expected at least 0', *CLICKS]),
        (['benchmark', '--batch', 'abc'], ["found 'abc', expected a whole number", *CLICKS]),
        (['replay-many'], ["Missing argument 'BAGS'"]),
        (['predict'], ["Missing argument 'INPUT'"]),
    ],
)
def test_wrong_usage_says_what_was_found_and_what_was_expected(arguments, expected, monkeypatch, capsys):
    """In no words of typer's own parsers, and with arguments in capitals."""
    skip_unless_installed(arguments[0])
    monkeypatch.setenv('COLUMNS', '150')
    assert cli.main(arguments) == 2
    said = capsys.readouterr().err
    assert any(text in said for text in expected), said
    assert 'Value error' not in said
    assert 'Input should' not in said
    usage = said.splitlines()[0]
    assert usage.startswith(f'Usage: mtperception {arguments[0]} ')
    assert '{' not in usage
    assert usage.removeprefix(f'Usage: mtperception {arguments[0]} ').isupper()


@pytest.mark.parametrize('columns', [60, 80, 120])
@pytest.mark.parametrize('name', list(cli.COMMANDS))
def test_help_fits_the_terminal_and_cuts_nothing_off(name, columns, monkeypatch, capsys):
    skip_unless_installed(name)
    monkeypatch.setenv('COLUMNS', str(columns))
    assert cli.main([name, '--help']) == 0
    said = capsys.readouterr().out
    assert max(map(len, said.splitlines())) <= columns
    assert '…' not in said


@pytest.mark.parametrize('columns', [80, 100, 120])
def test_paragraphs_of_help_fill_the_lines(columns, monkeypatch, capsys):
    """Wherever the docstring's own lines end."""
    monkeypatch.setenv('COLUMNS', str(columns))
    assert cli.main(['replay', '--help']) == 0
    said = '\n'.join(line.strip() for line in capsys.readouterr().out.splitlines())
    start = said.index('ROS is needed')
    for paragraph in said[start : said.index('Example:')].strip().split('\n\n'):
        for line, following in pairwise(paragraph.splitlines()):
            assert len(f'{line} {following.split()[0]}') > columns - 4


@pytest.mark.parametrize('name', list(cli.COMMANDS))
def test_every_command_explains_itself_with_an_example(name, capsys):
    skip_unless_installed(name)
    _, summary = cli.COMMANDS[name]
    assert cli.main([name, '--help']) == 0
    usage, *paragraphs = (' '.join(part.split()) for part in capsys.readouterr().out.strip().split('\n\n'))
    assert usage.startswith(f'Usage: mtperception {name} ')
    assert paragraphs[0].startswith(summary)
    assert f'Example: mtperception {name} ' in ' '.join(paragraphs)


@pytest.mark.parametrize(
    'error',
    [
        InputError('two were found'),
        SourceError('no such image'),
        MissingPackageError('no torch'),
        RunError('of 0.9'),
        WriteError('--out x: no space left'),
    ],
)
def test_a_failure_is_one_line_on_standard_error(error, command, capsys):
    def fail():
        raise error

    command(fail)
    assert cli.main(['trial']) == 1
    printed = capsys.readouterr()
    assert printed.err == f'error: {error}\n'
    assert printed.out == ''


def test_an_interrupt_exits_with_130(command):
    def interrupted():
        raise KeyboardInterrupt

    command(interrupted)
    assert cli.main(['trial']) == 130


@pytest.mark.parametrize(
    ('error', 'text'),
    [
        (PermissionError(errno.EACCES, 'Permission denied', '/root/x'), '/root/x: Permission denied'),
        (OSError(errno.ENOSPC, 'No space left on device'), 'No space left on device: expected space on the disks'),
    ],
)
def test_what_the_system_says_of_a_file_is_one_line(error, text, command, capsys):
    def fail():
        raise error

    command(fail)
    assert cli.main(['trial']) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'error: {text}')


@pytest.mark.parametrize(
    'error',
    [ZeroDivisionError('by none'), RuntimeError('tensor on cuda:0'), ValueError('shapes'), KeyError('x'), OSError('?')],
)
def test_a_bug_is_one_line_that_names_the_file_with_its_traceback(error, command, capsys, tmp_path, monkeypatch):
    def broken():
        raise error

    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    command(broken)
    assert cli.main(['trial']) == 1
    (line,) = capsys.readouterr().err.splitlines()
    (log,) = tmp_path.iterdir()
    assert line.startswith(f'error: internal error in mtperception: {type(error).__name__}: ')
    assert str(log) in line
    content = log.read_text()
    assert 'in broken' in content
    assert f'mtperception {__version__}' in content
    assert '\nmtperception trial\n' in content


@pytest.mark.parametrize('arguments', [['--debug', 'trial'], ['trial', '--debug']])
@pytest.mark.parametrize('error', [InputError('two were found'), ZeroDivisionError('by none')])
def test_debug_shows_the_traceback(error, arguments, command, capsys):
    def broken():
        raise error

    command(broken)
    assert cli.main(arguments) == 1
    said = capsys.readouterr().err
    assert 'in broken' in said
    assert said.splitlines()[-1].startswith('error: ')


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.usefixtures('heeded_signals')
def test_a_signal_ends_a_command_in_order(number, command, tmp_path):
    """What is half written is removed; the exit status names the signal, as shells do."""

    def long():
        with atomic_file(tmp_path / 'out.txt') as part:
            part.write_text('half')
            os.kill(os.getpid(), number)
            time.sleep(10)

    command(long)
    assert cli.main(['trial']) == 128 + number
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) == signal.SIG_DFL


@pytest.mark.usefixtures('heeded_signals')
def test_a_second_signal_counts_only_if_the_first_one_was_long_ago(command, monkeypatch):
    """So that it does not end the tidying up, and a command whose libraries swallow an exception ends all the same."""
    waited = []

    def deaf():
        for patience in (10.0, 0.0):
            monkeypatch.setattr(error_report, 'PATIENCE', patience)
            with suppress(SystemExit):
                os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGTERM)
            waited.append(patience)

    command(deaf)
    assert cli.main(['trial']) == 128 + signal.SIGTERM
    assert waited == [10.0]


def test_a_signal_that_is_ignored_stays_so(command, monkeypatch):
    """As nohup has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    command(lambda: os.kill(os.getpid(), signal.SIGHUP))
    try:
        assert cli.main(['trial']) == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)

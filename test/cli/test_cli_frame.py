"""The frame of the command line: what is imported when, exit status, and what goes to which stream."""

import inspect
import subprocess
import sys
from types import SimpleNamespace

import pytest

from mtperception import __version__, cli

HEAVY = ('numpy', 'cv2', 'torch', 'onnxruntime', 'rclpy')


def run_module(*arguments):
    command = [sys.executable, '-m', 'mtperception', *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


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


@pytest.mark.parametrize('name', list(cli.COMMANDS))
def test_every_command_explains_itself_with_an_example(name, capsys):
    target, summary = cli.COMMANDS[name]
    assert inspect.getdoc(cli._load(target)).startswith(summary)
    assert cli.main([name, '--help']) == 0
    printed = ' '.join(capsys.readouterr().out.split())
    assert summary in printed
    assert f'Example: mtperception {name} ' in printed


@pytest.mark.parametrize(
    'error',
    [ValueError('two were found'), FileNotFoundError('no such image'), ImportError('none'), RuntimeError('of 0.9')],
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


def test_a_bug_keeps_its_traceback(command):
    def broken():
        raise ZeroDivisionError

    command(broken)
    with pytest.raises(ZeroDivisionError):
        cli.main(['trial'])

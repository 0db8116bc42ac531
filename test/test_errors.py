# SPDX-License-Identifier: Apache-2.0
"""Whoever raises an error on purpose says so: else the command line takes it for a fault of the package."""

import ast
from pathlib import Path

import pytest

import mtperception
from mtperception.errors import MissingPackageError, needs

BUILT_IN = {'Exception', 'ValueError', 'RuntimeError', 'ImportError', 'OSError', 'FileNotFoundError', 'FileExistsError'}
FILES = sorted(Path(mtperception.__file__).parent.rglob('*.py'))


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_errors_are_of_the_classes_of_errors_py(file):
    """Use InputError for ValueError, MissingPackageError for ImportError, RunError for RuntimeError, and so on."""
    raised = (node.exc for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Raise))
    made = {call.func.id for call in raised if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}
    assert not made & BUILT_IN


def importing(name):
    with needs('this', 'it', 'some', 'apt install that'):
        __import__(name)


def test_a_package_that_is_not_installed():
    with pytest.raises(MissingPackageError, match=r'this needs it \(No .*\): pip install "mtperception\[some\]"'):
        importing('nonesuch')


@pytest.mark.parametrize('name', ['broken_package', 'linked_package'])
def test_a_package_that_cannot_be_loaded(name, tmp_path, monkeypatch):
    """Installing it again would not help: a library of the system is missing."""
    (tmp_path / 'broken_package.py').write_text('import ctypes\nctypes.CDLL("libnonesuch.so.0")\n')
    (tmp_path / 'broken_extension.so').write_bytes(b'no library')
    (tmp_path / 'linked_package.py').write_text(
        'from importlib.machinery import ExtensionFileLoader as Loader\n'
        'from importlib.util import module_from_spec, spec_from_file_location as spec\n'
        'path = __file__.replace("linked_package.py", "broken_extension.so")\n'
        'module_from_spec(spec("broken_extension", path, loader=Loader("broken_extension", path)))\n'
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingPackageError, match=r'installed, but cannot be imported .*: apt install that'):
        importing(name)

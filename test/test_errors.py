# SPDX-License-Identifier: Apache-2.0
"""Whoever raises an error on purpose says so: else the command line takes it for a fault of the package."""

import ast
from pathlib import Path

import pytest

import mtperception

BUILT_IN = {'Exception', 'ValueError', 'RuntimeError', 'ImportError', 'OSError', 'FileNotFoundError', 'FileExistsError'}
FILES = sorted(Path(mtperception.__file__).parent.rglob('*.py'))


@pytest.mark.parametrize('file', FILES, ids=lambda file: file.stem)
def test_errors_are_of_the_classes_of_errors_py(file):
    """Use InputError for ValueError, MissingPackageError for ImportError, RunError for RuntimeError, and so on."""
    raised = (node.exc for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Raise))
    made = {call.func.id for call in raised if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}
    assert not made & BUILT_IN

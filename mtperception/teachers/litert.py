# SPDX-License-Identifier: Apache-2.0
"""Opening files for LiteRT (TensorFlow Lite)."""

from pathlib import Path

from mtperception.errors import needs
from mtperception.teachers.teacher import TeacherError

with needs('a .tflite file', 'LiteRT', 'teachers'):
    from ai_edge_litert.interpreter import Interpreter

__all__ = ['Interpreter', 'open_interpreter']


def open_interpreter(path: Path) -> Interpreter:
    """A network that is ready to run.

    Raises:
        TeacherError: if there is no such file, or it is not a network for LiteRT.
    """
    if not path.is_file():
        raise TeacherError(f'{path}: no such file')
    try:
        interpreter = Interpreter(str(path))
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise TeacherError(f'{path}: not a network that LiteRT can run: {error}') from error
    return interpreter

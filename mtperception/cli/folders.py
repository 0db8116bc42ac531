# SPDX-License-Identifier: Apache-2.0
"""Where commands write to: checked before the work, not when it is done and would be lost."""

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from mtperception.atomic_write import write_errors, write_if_changed
from mtperception.errors import InputError, WriteError

RESULT = b'{\n "mtperception": "'
"""What every result begins with."""


def check_apart(out: Path, inputs: Iterable[str], option: str, *, is_replaced: bool = False) -> None:
    """Check that an output is or holds none of the inputs, which a result of the same name would overwrite.

    Args:
        out: the folder or file.
        inputs: paths; what is none is passed over.
        option: of the command line, which the message names.
        is_replaced: whether all that `out` is or holds is replaced, at any depth; else only files right in it.

    Raises:
        InputError: if it does.
    """
    place = out.expanduser().resolve()
    for text in inputs:
        path = Path(text).expanduser()
        found = path.resolve()
        if path.exists() and (found.is_relative_to(place) if is_replaced else place in (found, found.parent)):
            raise InputError(
                f'{option} {out} is or holds the input {text}, which could be overwritten: choose another place'
            )


def make_folder(path: Path, option: str) -> None:
    """Make a folder, with those above it, unless it is there; check that it can be written to.

    Args:
        path: the folder.
        option: of the command line, which the message names.

    Raises:
        WriteError: if something else is there, or nothing can be written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise WriteError(
            f'{option} {path}: not a folder that can be made or written to ({error.strerror}): choose another'
        ) from error


def make_room_for(path: Path, option: str) -> None:
    """Make the folders above a file and check that it can be replaced. An existing file stays as it is.

    Args:
        path: the file.
        option: of the command line, which the message names.

    Raises:
        WriteError: if it cannot be written.
    """
    is_there = os.path.lexists(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.open('ab').close()
        if not is_there:
            path.unlink()
        elif not path.is_file():  # a pipe or a device, which nothing is put in the place of
            return
        with TemporaryFile(dir=path.parent):  # a file is written beside its place first
            pass
    except OSError as error:
        raise WriteError(
            f'{option} {path}: not a file that can be written ({error.strerror}): choose another'
        ) from error


def make_room_for_json(path: Path) -> None:
    """As `make_room_for`, for a result by `write_json`, which replaces nothing but earlier results.

    Raises:
        WriteError: if it cannot be written.
        InputError: if something else is there.
    """
    make_room_for(path, '--json')
    if not path.is_file() or not path.stat().st_size:
        return
    with path.open('rb') as file:
        start = file.read(len(RESULT))
    if start != RESULT:
        raise InputError(f'--json {path}: not a result of this program, and would be replaced: choose another file')


def write_json(path: Path, content: Mapping[str, Any], option: str) -> None:
    """Write a JSON file, or leave what was there; nothing is written if the file has this content.

    JSON has no NaN and no infinity: they become null.

    Raises:
        WriteError: if it cannot be written; the message names the option.
    """
    with naming_option(option):
        write_if_changed(path, json.dumps(_finite(content), indent=1, allow_nan=False) + '\n')


def _finite(value: Any) -> Any:
    """The same with None for each number that JSON lacks."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@contextmanager
def naming_option(option: str, path: Path | None = None) -> Iterator[None]:
    """Name the option of the command line in an error of writing.

    Args:
        option: which says where to write.
        path: what it says, where several files are written there that name themselves only; they are not named then.

    Raises:
        WriteError: in place of each one, and of an error of the system that is about `path`.
    """
    try:
        if path is None:
            yield
        else:
            with write_errors(path):
                yield
    except WriteError as error:
        raise WriteError(f'{option} {error}') from error

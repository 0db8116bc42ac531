# SPDX-License-Identifier: Apache-2.0
"""Files and folders that are there completely or not at all.

They are written beside their place, under a hidden name of their process, and renamed when they are complete: of two
processes that write the same file, the last one's is there, whole. What a killed process left there is removed by the
next one that writes the same file.
"""

import errno
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from mtperception.errors import InputError, MTPerceptionError, WriteError

INTERRUPTIONS = (KeyboardInterrupt, SystemExit, GeneratorExit)
LISTED_AGAIN = 10.0
"""Seconds after which a folder is searched again for what killed processes left."""
DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}
"""Errors when writing to an open file: they name no file."""


@contextmanager
def atomic_file(out: Path, *, keep_interrupted: bool = False) -> Iterator[Path]:
    """A path to write a file to, which is renamed to `out` when the block ends; after an error nothing of it stays.

    A file that was not written takes nobody's place. A device or pipe, such as /dev/stdout, is written to directly.

    Args:
        out: the file; the folders above it are made if need be. What is there is replaced.
        keep_interrupted: whether the file is also put in place when SIGINT or SIGTERM ends the block.

    Raises:
        InputError: if there is a folder at `out`.
        WriteError: if it cannot be written.
    """
    out = out.expanduser()
    if out.exists() and not (out.is_file() or out.is_dir()):
        with write_errors(out):
            yield out
        return
    out = out.resolve()
    if out.is_dir():
        raise InputError(f'{out} is a folder: expected the name of a file to write')
    with _written_beside(out, keep_interrupted) as part:
        yield part


@contextmanager
def atomic_folder(out: Path, entries: Sequence[str]) -> Iterator[Path]:
    """A new, empty folder that takes its place at `out` when the block ends; after an error nothing of it stays.

    Args:
        out: the folder to be; those above it are made if need be.
        entries: the names that will be in it. What is at `out` is replaced if it has no others.

    Raises:
        InputError: if there is a file at `out`, or a folder with other things.
        WriteError: if it cannot be written.
    """
    out = out.expanduser().resolve()
    check_replaceable(out, entries)
    with _written_beside(out) as part:
        part.mkdir()
        yield part


@contextmanager
def atomic_entries(out: Path) -> Iterator[Path]:
    """A new, empty folder whose entries take their places in `out` when the block ends; after an error none does.

    Entries of the same names are replaced as wholes; others that are in `out` stay.

    Args:
        out: the folder; it and those above it are made if need be.

    Raises:
        InputError: if there is a file at `out`.
        WriteError: if it cannot be written.
    """
    out = out.expanduser().resolve()
    if out.exists() and not out.is_dir():
        raise InputError(f'{out} is a file: expected the name of a folder')
    with _written_beside(out, put_in_place=_put_entries_in_place) as part:
        part.mkdir()
        yield part


@contextmanager
def scratch_folder(out: Path) -> Iterator[Path]:
    """A new, empty folder beside `out`, on the same disk, that is gone when the block ends.

    It is for what writes several files, of which some are then moved to `out`.

    Args:
        out: the file or folder to be; the folders above it are made if need be.

    Raises:
        WriteError: if it cannot be written.
    """
    with _written_beside(out.expanduser().resolve(), put_in_place=lambda part, out: None) as part:
        part.mkdir()
        yield part


def check_replaceable(out: Path, entries: Sequence[str]) -> None:
    """Check that nothing is at `out`, or a folder with nothing but some entries.

    Raises:
        InputError: if not.
    """
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError(f'{out} is a file: this format writes a folder: choose another name')
    others = sorted(path.name for path in out.iterdir() if path.name not in entries)
    if others:
        raise InputError(
            f'{out} holds {others[0]}, which this export does not write: choose a new or empty folder, or an '
            'earlier export'
        )


def write_bytes_atomically(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write a file, or leave what was there.

    Args:
        path: the file.
        content: of it.
        durable: whether to wait until it would survive a loss of power.

    Raises:
        WriteError: if it cannot be written.
    """
    with atomic_file(path) as part, part.open('wb') as file:
        file.write(content)
        if durable:
            file.flush()
            os.fsync(file.fileno())


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file in UTF-8, or leave what was there.

    Raises:
        WriteError: if it cannot be written.
    """
    write_bytes_atomically(path, text.encode())


def write_if_changed(path: Path, text: str) -> None:
    """Write a text file, unless it is there with this very text.

    Raises:
        InputError: if there is a folder of this name.
        WriteError: if it cannot be written.
    """
    if not (path.is_file() and path.read_bytes() == text.encode()):
        write_text_atomically(path, text)


def write_json_atomically(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, or leave what was there.

    Raises:
        WriteError: if it cannot be written.
    """
    write_text_atomically(path, json.dumps(content, indent=1) + '\n')


@contextmanager
def write_errors(path: Path, written: Path | None = None) -> Iterator[None]:
    """Turn errors of the system that are about a file into WriteErrors that name it; others pass.

    Args:
        path: the file or folder to name.
        written: where it is written in fact; by default `path`.
    """
    try:
        yield
    except WriteError as error:
        if written is None or str(written) not in str(error):
            raise
        raise WriteError(str(error).replace(str(written), str(path))) from error
    except MTPerceptionError:
        raise
    except OSError as error:
        about = str(error.filename or '')
        is_ours = about.startswith(str(written or path)) if about else error.errno in DISK_ERRORS
        if not is_ours:
            raise
        raise WriteError(
            f'{path}: cannot be written: {error.strerror}: expected a writable place with free space'
        ) from error


@contextmanager
def _written_beside(
    out: Path, keep_interrupted: bool = False, put_in_place: Callable[[Path, Path], None] | None = None
) -> Iterator[Path]:
    """A free path beside `out`; what is there when the block ends is renamed, by `put_in_place(path, out)`."""
    put_in_place = put_in_place or _put_in_place
    part = out.with_name(f'.{out.stem}.part{os.getpid()}{out.suffix}')  # some writers go by the suffix
    with write_errors(out, out.parent):
        out.parent.mkdir(parents=True, exist_ok=True)
    with write_errors(out, part):
        try:
            for left in (part, *_left_by_killed(out)):
                remove(left)
            yield part
            put_in_place(part, out)
        except INTERRUPTIONS:
            if keep_interrupted:
                put_in_place(part, out)
            raise
        finally:
            with suppress(OSError):
                remove(part)


def remove_left_in(folder: Path) -> None:
    """Remove the parts of all files and folders in a folder whose processes have ended."""
    for path in folder.glob('.*'):
        if _is_left(path.name, r'.+', r'(\.\w+)?'):
            remove(path)


def _left_by_killed(out: Path) -> Iterator[Path]:
    """Parts of a file or folder whose process has ended."""
    for name in _parts_in(out.parent, int(time.monotonic() / LISTED_AGAIN)):
        if _is_left(name, re.escape(out.stem), re.escape(out.suffix)):
            yield out.with_name(name)


def _is_left(name: str, stem: str, suffix: str) -> bool:
    """Whether a name is that of a part, for such a stem and suffix, whose process does not run: else it is its own."""
    found = re.fullmatch(rf'\.{stem}\.part([1-9]\d*){suffix}', name)
    return found is not None and not _is_running(int(found[1]))


@lru_cache(maxsize=16)
def _parts_in(folder: Path, period: int) -> tuple[str, ...]:
    """Names of parts in a folder, which is listed once in a period only: it can hold results by the ten thousand."""
    try:
        return tuple(path.name for path in folder.iterdir() if path.name.startswith('.') and '.part' in path.name)
    except PermissionError:  # a folder that can be written to need not be readable
        return ()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _put_in_place(part: Path, out: Path) -> None:
    if not part.exists():
        return
    if not out.is_dir():
        part.replace(out)
        return
    old = out.with_name(f'.{out.name}.old')
    remove(old)
    out.rename(old)
    try:
        part.rename(out)
    except OSError:
        old.rename(out)
        raise
    remove(old)


def _put_entries_in_place(part: Path, out: Path) -> None:
    """All that is in `part`, folders first: a page comes after its pictures."""
    if not out.exists():
        part.rename(out)
        return
    for entry in sorted(part.iterdir(), key=Path.is_file):
        _put_in_place(entry, out / entry.name)


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

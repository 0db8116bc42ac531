"""What can still be read of a bag whose recording was cut off: copies without the part that is broken.

A recorder that is killed leaves no metadata.yaml, an .mcap file without index and end, or a .db3 file that is shorter
than its first page says. Readers refuse all three, though nearly all messages are there.
"""

import os
import shutil
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from mtperception.errors import SourceError
from mtperception.media import by_number
from mtperception.recording.bag_file import SUFFIXES, NoBagError, open_bag

METADATA = 'metadata.yaml'
_MCAP_MAGIC = b'\x89MCAP0\r\n'
_MCAP_FOOTER, _MCAP_DATA_END = 0x02, 0x0F
_MCAP_RECORD = struct.Struct('<BQ')
"""Opcode and length of what follows."""
_TRIES = 3
"""How many of the last records may be whole by their length, but not in what they hold."""


def mended_bag(path: Path, folder: Path) -> tuple[Path, ...]:
    """What to open instead of a bag that cannot be opened.

    Args:
        path: of the bag: a folder or a storage file.
        folder: an empty one for the copies.

    Returns:
        A folder with the bag's own metadata.yaml if it has one, else storage files.

    Raises:
        NoBagError: if there is no storage file.
        SourceError: if nothing can be read from one.
    """
    found = [path] if path.is_file() else sorted(path.glob('*'), key=lambda file: by_number(file.name))
    files = [file for file in found if file.suffix in SUFFIXES]
    if not files:
        names = ', '.join(file.name for file in found) or 'nothing'
        raise NoBagError(f'{path}: not a ROS 2 bag: expected files that end in {" or ".join(SUFFIXES)}, found {names}')
    copies = tuple(_whole(file, folder / file.name) for file in files)
    if path.is_dir() and (path / METADATA).is_file():
        shutil.copy(path / METADATA, folder / METADATA)
        with suppress(SourceError), open_bag(folder):  # the metadata may be what is broken
            return (folder,)
    return copies


def _whole(file: Path, copy: Path) -> Path:
    """A link to a file that is whole, else a mended copy of it."""
    try:
        with open_bag(file):
            copy.symlink_to(file.resolve())
    except SourceError:
        _MENDERS[file.suffix](file, copy)
    return copy


def _mend_mcap(file: Path, copy: Path) -> None:
    """Copy the whole records. An end without index makes readers go through the records themselves."""
    for end in reversed(_record_ends(file)[-_TRIES:]):
        with file.open('rb') as broken, copy.open('wb') as mended:
            shutil.copyfileobj(broken, mended)
            mended.truncate(end)
            mended.seek(end)
            mended.write(_MCAP_RECORD.pack(_MCAP_DATA_END, 4) + bytes(4))
            mended.write(_MCAP_RECORD.pack(_MCAP_FOOTER, 20) + bytes(20) + _MCAP_MAGIC)
        with suppress(SourceError), open_bag(copy):
            return
    raise SourceError(f'{file}: nothing can be read: expected an MCAP file of the profile ros2')


def _record_ends(file: Path) -> list[int]:
    """Where each record of the data section ends that the file has as a whole."""
    size, ends = file.stat().st_size, []
    with file.open('rb') as broken:
        if broken.read(len(_MCAP_MAGIC)) != _MCAP_MAGIC:
            raise SourceError(f'{file}: not an MCAP file: expected one that starts with {_MCAP_MAGIC!r}')
        while len(head := broken.read(_MCAP_RECORD.size)) == _MCAP_RECORD.size:
            opcode, length = _MCAP_RECORD.unpack(head)
            # Opcode 0 does not exist: that is space which a file system set aside and nobody wrote to.
            if opcode in (0, _MCAP_FOOTER, _MCAP_DATA_END) or length > size - broken.tell():
                break
            ends.append(broken.seek(length, os.SEEK_CUR))
    return ends


def _mend_sqlite3(file: Path, copy: Path) -> None:
    """Copy the rows of all tables, each until the first that cannot be read."""
    with closing(sqlite3.connect(f'{file.resolve().as_uri()}?immutable=1', uri=True)) as broken:
        try:
            broken.execute('PRAGMA writable_schema = ON')  # else SQLite refuses a file that is too short
            tables = broken.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
            ).fetchall()
        except sqlite3.DatabaseError as error:
            raise SourceError(f'{file}: nothing can be read: {error}: expected an SQLite database') from error
        with closing(sqlite3.connect(copy)) as mended:
            for name, definition in tables:
                mended.execute(definition)
                _copy_rows(broken, mended, name)
            mended.commit()


def _copy_rows(broken: sqlite3.Connection, mended: sqlite3.Connection, table: str) -> None:
    with suppress(sqlite3.DatabaseError):
        rows = broken.execute(f'SELECT * FROM "{table}"')  # no value: a name that the database itself gave
        slots = ', '.join('?' * len(rows.description))
        mended.executemany(f'INSERT INTO "{table}" VALUES ({slots})', rows)


_MENDERS: dict[str, Callable[[Path, Path], None]] = {'.mcap': _mend_mcap, '.db3': _mend_sqlite3}

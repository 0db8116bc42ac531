# SPDX-License-Identifier: Apache-2.0
"""Blocks of a map that memory has no room for, in a file."""

import errno
import fcntl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from mtperception.atomic_write import check_replaceable
from mtperception.errors import InputError, SourceError, WriteError

FILE = 'blocks.bin'
CHUNK = 500
"""Records that are read at a time: 10 MB."""
PATIENCE_S = 2.0
"""For the map before, whose node may be finishing what it has in hand."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems without locks answer."""


class BlockArchive:
    """Keeps records of blocks by their keys. A record that is taken out leaves room for another one.

    Args:
        folder: made if need be; an earlier archive there is replaced.
        record: dtype of a record; its field `key` is int32 3.

    Raises:
        InputError: if the folder holds anything else, or the archive of another map that is being made.
        WriteError: if it cannot be written.
    """

    def __init__(self, folder: Path, record: np.dtype) -> None:
        self.folder, self._record = folder.expanduser().absolute(), record
        self._slots: dict[tuple[int, ...], int] = {}
        self._free: list[int] = []
        check_replaceable(self.folder, (FILE,))
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._held = (self.folder / FILE).open('a+b')
            if not _locked(self._held):
                raise InputError(f'{self.folder}: in use for another map: expected a folder of its own for each map')
            self._held.truncate(0)
        except OSError as error:
            raise WriteError(f'{self.folder}: blocks of the map cannot be written there: {error}') from error

    def close(self) -> None:
        """Let another map have the folder: this one neither writes nor reads there any more."""
        self._held.close()

    def _check_held(self) -> None:
        if self._held.closed:
            raise WriteError(f'{self.folder}: the archive is closed: another map may have it')

    def __len__(self) -> int:
        """How many blocks it has."""
        return len(self._slots)

    def put(self, records: np.ndarray) -> None:
        """Write records, in place of earlier ones of the same blocks.

        Raises:
            WriteError: if they cannot be written; then it is as it was.
        """
        self._check_held()
        end = len(self._slots) + len(self._free)
        keys = [tuple(key) for key in records['key'].tolist()]
        old = [self._slots[key] for key in keys if key in self._slots]
        free = [*reversed(self._free), *range(end, end + len(keys))]
        slots = free[: len(keys)]
        try:
            with (self.folder / FILE).open('r+b') as file:
                for slot, record in zip(slots, records, strict=True):
                    file.seek(slot * self._record.itemsize)
                    file.write(record.tobytes())
        except OSError as error:
            raise WriteError(f'{self.folder}: blocks of the map cannot be written: {error}') from error
        self._free = [*self._free[: max(0, len(self._free) - len(keys))], *old]
        self._slots |= dict(zip(keys, slots, strict=True))

    def take(self, keys: np.ndarray) -> np.ndarray:
        """The records of those of some blocks (int32 N,3) that it has; it has them no more.

        Raises:
            SourceError: if the file cannot be read.
            WriteError: if the archive is closed.
        """
        self._check_held()
        there = [key for key in map(tuple, keys.tolist()) if key in self._slots]
        records = self._read([self._slots[key] for key in there])
        self._free += [self._slots.pop(key) for key in there]
        return records

    def chunks(self) -> Iterator[np.ndarray]:
        """All records, `CHUNK` at a time; they stay.

        Raises:
            SourceError: if the file cannot be read.
        """
        slots = sorted(self._slots.values())
        for start in range(0, len(slots), CHUNK):
            yield self._read(slots[start : start + CHUNK])

    def _read(self, slots: list[int]) -> np.ndarray:
        records = np.empty(len(slots), self._record)
        try:
            with (self.folder / FILE).open('rb') as file:
                for index, slot in enumerate(slots):
                    file.seek(slot * self._record.itemsize)
                    records[index] = np.frombuffer(file.read(self._record.itemsize), self._record)[0]
        except (OSError, ValueError, IndexError) as error:  # gone, or too short
            raise SourceError(
                f'{self.folder}: blocks of the map cannot be read back ({error}): was {FILE} changed by something else?'
            ) from error
        return records


def _locked(file: IO[bytes]) -> bool:
    """Whether a file is nobody else's until it is closed, by this process or another; so it is taken to be where locks
    are unknown."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            return True
        else:
            return True

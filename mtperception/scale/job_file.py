# SPDX-License-Identifier: Apache-2.0
"""The file by which processes that write to the same folder agree on what they make and divide it."""

import errno
import fcntl
import hashlib
import json
import logging
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from mtperception.errors import MTPerceptionError

_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""What file systems without locks answer."""

_log = logging.getLogger(__name__)


class JobError(MTPerceptionError, ValueError):
    """A folder that holds something else than what is to be made in it."""


class JobFile:
    """A JSON record of what a folder is made of, in which processes claim names: of items, of steps. A context manager.

    A claim is a lock of one byte of the file, at a place that the name gives (an open file description lock of Linux).
    The kernel drops it with the process that holds it, however that ends: nothing is left to clean up, and no clock or
    process id is compared. Over NFS (version 4, or 3 with a lock daemon, not mounted `nolock` or `local_lock`) the
    server does the same for machines; those of a machine that died it drops after its lease, 90 s by default. Where a
    file system has no locks, or none between machines, two may do the same item: twice the work, the same result.

    Two objects never hold the same name at once, be it in one process or in two; one object does not exclude itself.

    Args:
        path: the file, made if need be.
        record: what the folder is made of; it takes what JSON keeps.

    Raises:
        JobError: if the file holds another record or none.
        OSError: if it cannot be read and written.
    """

    def __init__(self, path: Path, record: Mapping[str, Any]) -> None:
        self._path = path
        self._has_warned = False
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            with self.claim('record', wait=True):
                self._agree(record)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def claim(self, name: str, *, wait: bool = False) -> Iterator[bool]:
        """Hold a name while the block runs.

        Args:
            name: what is claimed.
            wait: until whoever holds the name lets it go or dies.

        Yields:
            Whether it is held: False if somebody else holds it, which cannot be if it was waited for.
        """
        held = self._lock(fcntl.F_WRLCK, name, wait=wait)
        try:
            yield held
        finally:
            if held:
                self._lock(fcntl.F_UNLCK, name, wait=False)

    def divide(self, names: Iterable[str], is_done: Callable[[str], bool]) -> Iterator[str]:
        """All names; each that is not done is claimed while the caller works on it.

        What another process has claimed comes last, when that one has let it go: done, or not if it has died.

        Args:
            names: of items.
            is_done: whether nothing is left to do for an item. An item may be done although it is yielded.
        """
        of_others = []
        for name in names:
            if is_done(name):
                yield name
                continue
            with self.claim(f'item {name}') as mine:
                if mine:
                    yield name
                else:
                    of_others.append(name)
        for name in of_others:
            with self.claim(f'item {name}', wait=True):
                yield name

    def close(self) -> None:
        """Let go of everything."""
        os.close(self._file)

    def __enter__(self) -> 'JobFile':
        """The file itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of everything."""
        self.close()

    def _lock(self, kind: int, name: str, *, wait: bool) -> bool:
        command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
        try:
            fcntl.fcntl(self._file, command, _FLOCK.pack(kind, os.SEEK_SET, _place(name), 1, 0))
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, as POSIX allows both
            return False
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            if not self._has_warned:
                _log.warning(
                    '%s: its file system has no locks (%s): two processes may do the same item, which does no harm',
                    self._path,
                    error.strerror,
                )
            self._has_warned = True
        return True

    def _agree(self, record: Mapping[str, Any]) -> None:
        """Write the record, or compare it with what is there. In place: a new file would not have the locks."""
        content = os.pread(self._file, os.fstat(self._file).st_size, 0)
        if not content:
            os.pwrite(self._file, (json.dumps(record, indent=1) + '\n').encode(), 0)
            return
        check_record(self._path, content, record)


def check_record(path: Path, content: bytes, record: Mapping[str, Any]) -> None:
    """Check that what a file holds is the record of this job.

    Raises:
        JobError: if not.
    """
    try:
        found = json.loads(content)
        differences = [f'{k} {found.get(k)!r} instead of {v!r}' for k, v in record.items() if found.get(k) != v]
    except (ValueError, AttributeError) as error:
        raise JobError(
            f'{path}: not readable as a JSON object: {error}: remove it, or choose another folder'
        ) from error
    if differences:
        raise JobError(f'{path.parent}: made with {"; ".join(differences)}: choose another folder, or remove this one')


_FLOCK = struct.Struct('hhqqi0q')
"""`struct flock` of fcntl(2) on 64-bit Linux: type, whence, start, length, process."""


def _place(name: str) -> int:
    """The byte that stands for a name: 62 bits of its hash, so that two names do not share one."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], 'big') >> 2

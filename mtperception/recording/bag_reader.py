# SPDX-License-Identifier: Apache-2.0
"""One way to open a recording: a folder or a file, whole or broken, of either format, read without ROS."""

import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir, mkdtemp
from typing import TYPE_CHECKING, Any

from mtperception.errors import SourceError
from mtperception.recording.bag_files import files_of, kind_of, needs_copy, readable_copy
from mtperception.recording.storage import CDR, ZSTD_START, Connection, Storage, StoredMessage

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

LARGEST_MESSAGE = 2**30
"""Bytes: what says that it is larger, decompressed, is damaged."""


class BagReader:
    """The messages of a recording.

    Args:
        path: a folder or a storage file.

    Raises:
        SourceError: if rosbags is not installed, there is no such bag, it is one of ROS 1, or nothing of it can be
            read.
    """

    def __init__(self, path: Path) -> None:
        try:
            import scipy.spatial.transform  # noqa: F401 - said here, not when the first pose comes

            from mtperception.recording.message_types import MessageTypes

            openers = _openers()
        except ImportError as error:
            raise SourceError(f'{path}: bags need rosbags, mcap and SciPy: pip install "mtperception[bags]"') from error
        files = files_of(path)
        self.path = path
        self.notes: dict[str, None] = dict.fromkeys(files.notes)
        self._folder: TemporaryDirectory | None = None
        self._storages: dict[Path, Storage] = {}
        try:
            self._open(files.paths, openers)
        except BaseException:
            self.close()
            raise
        found = [connection for storage in self._storages.values() for connection in storage.connections]
        self._types = MessageTypes(found)
        is_damaged = any(storage.damage for storage in self._storages.values())
        self._merged = _merged(found, files.stated if is_damaged else {})
        self.connections = [x for x in self._merged.values() if not self._problem(x)]
        """The topics that can be read, each once, whatever the number of files."""
        problems = {x: self._problem(x) for x in self._merged.values()}
        self.unreadable = {x.topic: f'{x.kind}, {problem}' for x, problem in problems.items() if problem}
        """Type of the others, and why not, by name."""

    def messages(self, connections: Collection[Connection]) -> Iterator[StoredMessage]:
        """Messages of some of the `connections` in the order of their reception; damage is told in `notes`."""
        wanted = {_key(connection) for connection in connections}
        parts = [self._messages_of(file, storage, wanted) for file, storage in self._storages.items()]
        for connection, received_ns, data in heapq.merge(*parts, key=lambda message: message[1]):
            yield self._merged[_key(connection)], received_ns, _decompressed(data)

    def deserialized(self, data: bytes, kind: str) -> Any:
        """A message of some type.

        Raises:
            RefusedMessageError: of kind `message`, if the bytes are not one.
        """
        return self._types.deserialized(data, kind)

    def store(self, kind: str) -> 'Typestore':
        """The definitions that a type of the `connections` is read by."""
        return self._types.store(kind)

    def close(self) -> None:
        """Close the files and remove copies."""
        for storage in self._storages.values():
            storage.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _open(self, paths: Collection[Path], openers: Mapping[str, Callable[[Path], Storage]]) -> None:
        problems = []
        for path in paths:
            file, problem = self._readable(path)
            try:
                storage = openers[kind_of(file)](file)
            except _reading_errors() as error:
                problems.append(f'{path.name}: {problem or _why_nothing(file, error)}')
                continue
            if problem:
                self.notes[f'{path.name}: {problem}. The part before it is used'] = None
            self._storages[path] = storage
            self._tell(path, storage)
        if not self._storages:
            raise SourceError(f'{self.path}: not a complete ROS 2 bag: {"; ".join(problems)}')
        self.notes |= dict.fromkeys(problems)

    def _readable(self, path: Path) -> tuple[Path, str]:
        """The file, or a copy of it that can be read, and what is wrong with it."""
        if not needs_copy(path):
            return path, ''
        try:
            self._folder = self._folder or TemporaryDirectory(prefix='mtperception_')
            return readable_copy(path, Path(mkdtemp(dir=self._folder.name)))
        except SourceError:
            raise
        except OSError as error:
            raise SourceError(
                f'{path}: must be copied to {gettempdir()} for reading, which failed: {error.strerror or error}: free '
                'space there, or set TMPDIR to a folder with enough space'
            ) from error

    def _messages_of(self, file: Path, storage: Storage, wanted: set[tuple[str, str, str]]) -> Iterator[StoredMessage]:
        connections = [connection for connection in storage.connections if _key(connection) in wanted]
        if connections:
            yield from storage.messages(connections)
        self._tell(file, storage)

    def _tell(self, file: Path, storage: Storage) -> None:
        self.notes |= {f'{file.name}: {problem}': None for problem in storage.damage}

    def _problem(self, connection: Connection) -> str:
        if connection.encoding != CDR:
            return f'encoded as {connection.encoding!r}, expected {CDR}'
        return self._types.problem(connection.kind)


def _openers() -> dict[str, Callable[[Path], Storage]]:
    from mtperception.recording.mcap_storage import McapStorage
    from mtperception.recording.sqlite3_storage import Sqlite3Storage

    return {'.mcap': McapStorage, '.db3': Sqlite3Storage}


def _reading_errors() -> tuple[type[Exception], ...]:
    import sqlite3
    import struct

    from mcap.exceptions import McapError

    return (sqlite3.Error, McapError, OSError, ValueError, struct.error, EOFError, IndexError, KeyError, OverflowError)


def _why_nothing(file: Path, error: Exception) -> str:
    if not file.stat().st_size:
        return 'nothing can be read: the file is empty'
    return f'nothing can be read: {str(error) or type(error).__name__}'


def _merged(found: Iterable[Connection], stated: Mapping[str, int]) -> dict[tuple[str, str, str], Connection]:
    """Each topic once, by its `_key`, with all the messages that its files have, or are stated to have."""
    merged: dict[tuple[str, str, str], Connection] = {}
    for connection in found:
        before = merged.get(_key(connection))
        count = connection.count + (before.count if before else 0)
        merged[_key(connection)] = replace(before or connection, count=count)
    return {key: replace(x, count=max(x.count, stated.get(x.topic, 0))) for key, x in merged.items()}


def _key(connection: Connection) -> tuple[str, str, str]:
    return connection.topic, connection.kind, connection.encoding


def _decompressed(data: bytes) -> bytes:
    """A message that `ros2 bag record --compression-mode message` compressed; others, and damaged ones, as they are."""
    if not data.startswith(ZSTD_START):
        return data
    from zstandard import ZstdDecompressor, ZstdError, frame_content_size

    try:
        size = frame_content_size(data)
        if size > LARGEST_MESSAGE:
            return data
        return ZstdDecompressor().decompress(data) if size >= 0 else ZstdDecompressor().decompressobj().decompress(data)
    except ZstdError:
        return data

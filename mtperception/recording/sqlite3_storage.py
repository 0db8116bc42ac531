# SPDX-License-Identifier: Apache-2.0
"""Recordings in SQLite databases (.db3), the whole ones and those that were cut off."""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from mtperception.recording.bag_files import has_log
from mtperception.recording.storage import CDR, Connection, Definition, StoredMessage

_ROW = np.dtype([('received_ns', np.int64), ('id', np.int64), ('topic', np.int64)])
"""Where a message is: its columns without its bytes."""


class Sqlite3Storage:
    """A database that `ros2 bag record` wrote. Implements `Storage`.

    The order of its messages is found once, when it is opened, from the table itself: the index of times is at the end,
    which is what is cut off. So every reading has the same order, whatever damage is found meanwhile.

    Args:
        path: of the file. It is opened without writing to it, unless there is a log beside it.

    Raises:
        sqlite3.Error: if not even its topics can be read.
    """

    def __init__(self, path: Path) -> None:
        self.damage: dict[str, None] = {}
        mode = '' if has_log(path) else '?immutable=1'  # with immutable=1 SQLite takes no notice of a log
        self._database = sqlite3.connect(f'{path.resolve().as_uri()}{mode}', uri=True, check_same_thread=False)
        try:
            # Else SQLite refuses a file that is shorter than its first page says.
            self._database.execute('PRAGMA writable_schema = ON')
            self._database.text_factory = lambda data: data.decode(errors='replace')
            found = np.fromiter(self._found(), _ROW)
            self._order = found[np.argsort(found['received_ns'], kind='stable')]
            counts = Counter(found['topic'].tolist())
            definitions = self._definitions()
            self.connections = [
                Connection(
                    id=row['id'],
                    topic=row['name'],
                    kind=row['type'],
                    encoding=row.get('serialization_format') or CDR,
                    count=counts[row['id']],
                    qos=row.get('offered_qos_profiles') or '',
                    definition=definitions.get(row['type'], Definition()),
                )
                for row in self._rows('topics')
            ]
        except BaseException:
            self.close()
            raise

    def messages(self, connections: Collection[Connection]) -> Iterator[StoredMessage]:
        """In the order of their reception, at equal times in that of recording; damaged ones are passed over."""
        by_id = {connection.id: connection for connection in connections}
        order = self._order[np.isin(self._order['topic'], list(by_id))]
        for received_ns, row, topic in zip(*(order[name].tolist() for name in _ROW.names), strict=True):
            data = self._data(row)
            if data is not None:
                yield by_id[topic], received_ns, data

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _found(self) -> Iterator[tuple[int, int, int]]:
        """The messages as they were recorded, as `_ROW`, up to where the table can be read."""
        columns = 'timestamp, id, topic_id'
        query = f"SELECT {columns} FROM messages WHERE typeof(timestamp) = 'integer' AND typeof(topic_id) = 'integer'"
        try:
            with closing(self._database.execute(f'{query} ORDER BY id')) as rows:
                yield from rows
        except sqlite3.Error as error:
            self.damage[f'not complete: {error}. The complete part is used'] = None

    def _data(self, row: int) -> bytes | None:
        """The bytes of a message; None, and told, if they are damaged."""
        try:
            found = self._database.execute('SELECT data FROM messages WHERE id = ?', (row,)).fetchone()
        except sqlite3.Error as error:
            return self._passed_over(error)
        if found and not isinstance(found[0], bytes):
            return self._passed_over(f'a message is {type(found[0]).__name__}, not bytes')
        return found[0] if found else None

    def _passed_over(self, why: object) -> None:
        if not self.damage:  # else it is said already
            self.damage[f'cannot be read completely: {why}. The rest is used'] = None

    def _definitions(self) -> dict[str, Definition]:
        """By type; none in the files of older recorders."""
        try:
            rows = self._rows('message_definitions')
        except sqlite3.Error:
            return {}
        return {row['topic_type']: Definition(row['encoding'], row['encoded_message_definition']) for row in rows}

    def _rows(self, table: str) -> list[dict[str, Any]]:
        """All rows by name of the column, which depend on the version of the recorder."""
        cursor = self._database.execute(f'SELECT * FROM {table}')
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

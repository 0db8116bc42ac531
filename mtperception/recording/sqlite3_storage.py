# SPDX-License-Identifier: Apache-2.0
"""Recordings in SQLite databases (.db3), the whole ones and those that were cut off."""

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from mtperception.recording.bag_files import has_log
from mtperception.recording.storage import CDR, Connection, Definition, StoredMessage


class Sqlite3Storage:
    """A database that `ros2 bag record` wrote. Implements `Storage`.

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
            counts = self._counts()
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
        """In the order of their reception; of a damaged file in the order of recording, up to where it can be read."""
        by_id = {connection.id: connection for connection in connections}
        order = 'id' if self.damage else 'timestamp'  # the index of times is at the end, which is what is cut off
        slots = ', '.join('?' * len(by_id))
        query = f'SELECT topic_id, timestamp, data FROM messages WHERE topic_id IN ({slots}) ORDER BY {order}'
        try:
            with closing(self._database.execute(query, list(by_id))) as rows:
                for topic, received_ns, data in rows:
                    yield by_id[topic], received_ns, bytes(data)
        except sqlite3.Error as error:
            if self.damage:
                return  # said already
            self.damage[f'cannot be read completely: {error}. The part before it is used'] = None

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _counts(self) -> Counter[int]:
        counts: Counter[int] = Counter()
        try:
            counts.update(dict(self._database.execute('SELECT topic_id, count(*) FROM messages GROUP BY topic_id')))
        except sqlite3.Error as error:
            self.damage[f'not complete: {error}. The complete part is used'] = None
        return counts

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

# SPDX-License-Identifier: Apache-2.0
"""Recordings in MCAP files, the whole ones and those that were cut off."""

import heapq
import os
import struct
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import count
from pathlib import Path
from typing import BinaryIO, NamedTuple

from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.reader import SeekingReader
from mcap.records import Channel, Chunk, McapRecord, Message, Schema
from mcap.stream_reader import breakup_chunk
from mcap.summary import Summary
from zstandard import ZstdError

from mtperception.errors import InputError
from mtperception.recording.storage import CDR, MCAP_START, Connection, Definition, StoredMessage

LARGEST_CHUNK = 2**32
"""Bytes: what says that it is larger is damaged."""
_HEAD = struct.Struct('<BQ')
"""Opcode and length of what follows."""
_QOS = 'offered_qos_profiles'
# These come of a record that ends, or says something impossible, half-way; lz4 raises RuntimeError, a length of
# 2**63 or more OverflowError.
_ERRORS = (
    *(McapError, ZstdError, EOFError, KeyError, OSError, RuntimeError, ValueError, struct.error, MemoryError),
    OverflowError,
)


class _Part(NamedTuple):
    """A chunk, or a message outside of one."""

    start_ns: int
    """When its first message was received."""
    offset: int
    """Position of its record in the file."""
    channels: frozenset[int] | None
    """Whose messages it has; None = not known."""


class McapStorage:
    """An MCAP file. Implements `Storage`.

    Its index is used where there is one; without, the file is gone through once. Neither the profile in the header
    nor the statistics decide whether it is read.

    Raises:
        McapError, ValueError, ...: if it is no MCAP file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.damage: dict[str, None] = {}
        self._channels: dict[int, Channel] = {}
        self._schemas: dict[int, Schema] = {}
        self._parts: list[_Part] = []
        self._counts: Counter[int] = Counter()
        with path.open('rb') as stream:
            if stream.read(len(MCAP_START)) != MCAP_START:
                raise InputError('not an MCAP file: wrong first bytes')
            summary = _summary(stream)
            if summary is None:
                self._go_through(stream)
            else:
                self._take(summary)
        self.connections = [self._connection(channel) for channel in self._channels.values()]

    def messages(self, connections: Collection[Connection]) -> Iterator[StoredMessage]:
        """In the order of their reception; chunks that cannot be read are passed over."""
        by_id = {connection.id: connection for connection in connections}
        parts = [part for part in self._parts if part.channels is None or not part.channels.isdisjoint(by_id)]
        waiting: list[tuple[int, int, Message]] = []
        number = count()  # of messages that were received at once, the first in the file goes first
        with self._path.open('rb') as stream:
            for part in sorted(parts, key=lambda part: part.start_ns):
                while waiting and waiting[0][0] <= part.start_ns:
                    yield _stored(heapq.heappop(waiting)[2], by_id)
                for message in self._messages_of(stream, part):
                    if message.channel_id in by_id:
                        heapq.heappush(waiting, (message.log_time, next(number), message))
        while waiting:
            yield _stored(heapq.heappop(waiting)[2], by_id)

    def close(self) -> None:
        """Nothing is open between readings."""

    def _take(self, summary: Summary) -> None:
        self._channels, self._schemas = summary.channels, summary.schemas
        for chunk in summary.chunk_indexes:
            known = frozenset(chunk.message_index_offsets) or None
            self._parts.append(_Part(chunk.message_start_time, chunk.chunk_start_offset, known))
        if summary.statistics is not None:
            self._counts.update(summary.statistics.channel_message_counts)

    def _go_through(self, stream: BinaryIO) -> None:
        """Find what an index would say, record by record, as far as the file is whole."""
        size = os.fstat(stream.fileno()).st_size
        opcode = None
        while len(head := stream.read(_HEAD.size)) == _HEAD.size:
            opcode, length = _HEAD.unpack(head)
            offset = stream.tell() - _HEAD.size
            # Opcode 0 does not exist: that is space which a file system set aside and nobody wrote to.
            if opcode in (0, Opcode.FOOTER, Opcode.DATA_END) or length > size - stream.tell():
                break
            self._note(offset, self._read(stream, offset))
            stream.seek(offset + _HEAD.size + length)
        if opcode not in (Opcode.FOOTER, Opcode.DATA_END):
            self.damage['not complete: it ends within the recording. The complete part is used'] = None

    def _note(self, offset: int, records: list[McapRecord]) -> None:
        messages = [record for record in records if isinstance(record, Message)]
        for record in records:
            if isinstance(record, Schema):
                self._schemas[record.id] = record
            elif isinstance(record, Channel):
                self._channels[record.id] = record
        if messages:
            ids = [message.channel_id for message in messages]
            self._counts.update(ids)
            self._parts.append(_Part(min(message.log_time for message in messages), offset, frozenset(ids)))

    def _messages_of(self, stream: BinaryIO, part: _Part) -> Iterator[Message]:
        return (record for record in self._read(stream, part.offset) if isinstance(record, Message))

    def _read(self, stream: BinaryIO, offset: int) -> list[McapRecord]:
        """The records at some place that concern messages: those of a chunk, or one; none, and told, if damaged."""
        try:
            stream.seek(offset)
            opcode, length = _HEAD.unpack(stream.read(_HEAD.size))
            data = ReadDataStream(stream)
            if opcode == Opcode.CHUNK:
                chunk = Chunk.read(data)
                if chunk.uncompressed_size > LARGEST_CHUNK:
                    raise InputError(f'found a chunk of {chunk.uncompressed_size} bytes')
                return breakup_chunk(chunk, validate_crc=True)
            if opcode == Opcode.MESSAGE:
                return [Message.read(data, length)]
            reads = {Opcode.SCHEMA: Schema.read, Opcode.CHANNEL: Channel.read}
            return [reads[opcode](data)] if opcode in reads else []
        except _ERRORS as error:
            what = str(error) or type(error).__name__
            self.damage[f'cannot be read at byte {offset}: {what}. The rest is used'] = None
            return []

    def _connection(self, channel: Channel) -> Connection:
        schema = self._schemas.get(channel.schema_id)
        definition = Definition(schema.encoding, schema.data.decode(errors='replace')) if schema else Definition()
        return Connection(
            id=channel.id,
            topic=channel.topic,
            kind=schema.name if schema else '',
            encoding=channel.message_encoding or CDR,
            count=self._counts[channel.id],
            qos=channel.metadata.get(_QOS, ''),
            definition=definition,
        )


def _summary(stream: BinaryIO) -> Summary | None:
    """The index at the end of a file; None if there is none of chunks, or the file has no end."""
    try:
        stream.seek(0)
        summary = SeekingReader(stream).get_summary()
    except _ERRORS:
        summary = None
    finally:
        stream.seek(len(MCAP_START))
    return summary if summary and summary.chunk_indexes and summary.channels and summary.schemas else None


def _stored(message: Message, by_id: dict[int, Connection]) -> StoredMessage:
    return by_id[message.channel_id], message.log_time, message.data

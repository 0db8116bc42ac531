# SPDX-License-Identifier: Apache-2.0
"""What the files of a recording have in common, whatever their format."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Protocol

CDR = 'cdr'
"""How ROS 2 encodes messages."""
MCAP_START, SQLITE_START = b'\x89MCAP0\r\n', b'SQLite format 3\0'
ZSTD_START = b'\x28\xb5\x2f\xfd'
"""What files of these kinds start with. No CDR message and no storage file starts like the last."""
SQLITE_LOGS = ('-wal', '-journal')
"""Behind a database's name: what is not yet in it, or is to be undone. SQLite does that when it may write."""


@dataclass(frozen=True)
class Definition:
    """How messages of a type are built, as the recorder wrote it down."""

    encoding: str = ''
    """`ros2msg`, `ros2idl`, `omgidl`; others, such as `unknown`, are not read."""
    text: str = ''


@dataclass(frozen=True)
class Connection:
    """A topic in a file."""

    id: int
    topic: str
    kind: str
    """Type of its messages, such as `sensor_msgs/msg/Image`."""
    encoding: str = CDR
    """Encoding of its messages."""
    count: int = 0
    """How many messages the file says it has of it."""
    qos: str = field(default='', compare=False)
    """Offered profiles, as YAML."""
    definition: Definition = field(default=Definition(), compare=False)


StoredMessage = tuple[Connection, int, bytes]
"""Where it is from, when it was received in nanoseconds, and its bytes."""


class Storage(Protocol):
    """One file of a recording, open for reading. What is damaged in it is passed over and told."""

    connections: list[Connection]
    damage: dict[str, None]
    """What is not whole, each thing once, in order; it grows while messages are read."""

    def messages(self, connections: Collection[Connection]) -> Iterator[StoredMessage]:
        """Messages of some of its connections, by the time of their reception."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...

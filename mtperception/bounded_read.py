# SPDX-License-Identifier: Apache-2.0
"""Files of others, read so that none can take the memory, the time or the terminal of who opens it.

Messages leave it to the caller to name the file.
"""

import stat
from pathlib import Path
from typing import Any

import yaml

from mtperception.errors import InputError

MAX_YAML = 256 * 2**10
"""Bytes of a card or a label space: a hundred times what they have."""
MAX_MESSAGE = 1000
"""Characters of a message that repeats what a file says."""


def shortened(message: str) -> str:
    """A message in one line, cut in the middle if it is longer than `MAX_MESSAGE`."""
    line = ' '.join(message.split())
    half = (MAX_MESSAGE - 5) // 2
    return line if len(line) <= MAX_MESSAGE else f'{line[:half]} ... {line[-half:]}'


def check_regular(path: Path, limit: int) -> None:
    """Check, without opening it, that a path is a plain file of at most `limit` bytes.

    Raises:
        InputError: if it is a device, a pipe or a folder, or larger.
        OSError: if there is nothing.
    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise InputError('not a plain file but a device, a pipe or a folder')
    if found.st_size > limit:
        raise InputError(f'{found.st_size} bytes: expected at most {limit}')


def read_bounded(path: Path, limit: int) -> bytes:
    """The content of a plain file of at most `limit` bytes.

    Raises:
        InputError: if it is not one.
        OSError: if it cannot be read.
    """
    check_regular(path, limit)
    with path.open('rb') as file:
        return file.read(limit)


class _PlainLoader(yaml.SafeLoader):
    """Plain values only, and no aliases: a nest of these unfolds to any size."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f'line {self.peek_event().start_mark.line + 1}: an alias (*name): write it out')
        return super().compose_node(parent, index)


def read_yaml(path: Path) -> Any:
    """What a small YAML file says.

    Raises:
        InputError: if it is too large, not a plain file, not YAML, nested without end, or has aliases.
        OSError: if it cannot be read.
    """
    content = read_bounded(path, MAX_YAML)
    try:
        return yaml.load(content.decode('utf-8'), _PlainLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(shortened(str(error) or 'nested too deep')) from error

# SPDX-License-Identifier: Apache-2.0
"""A share of a sequence of items: one of several processes works on it."""

import re
from dataclasses import dataclass

from mtperception.errors import InputError


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count` runs of items that follow each other; together they are all items, each once.

    Args:
        number: 1..count.
        count: how many shards there are.

    Raises:
        ValueError: for another number.
    """

    number: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        """Refuse what is no shard."""
        if not 1 <= self.number <= self.count:
            raise InputError(f'shard {self}: expected I/N with I from 1 to N, such as 2/4')

    def __str__(self) -> str:
        """As `parse` reads it."""
        return f'{self.number}/{self.count}'

    @classmethod
    def parse(cls, text: str) -> 'Shard':
        """The shard of a text `I/N`.

        Raises:
            ValueError: if it is none.
        """
        match = re.fullmatch(r'([0-9]{1,9})/([0-9]{1,9})', text)
        if not match:
            raise InputError(f'shard {text!r}: expected I/N with I from 1 to N, such as 2/4')
        return cls(*map(int, match.groups()))

    def positions(self, items: int) -> range:
        """Positions of its share of so many items. The shares of all shards differ by one item at most."""
        return range(items * (self.number - 1) // self.count, items * self.number // self.count)


WHOLE = Shard()
"""All items."""

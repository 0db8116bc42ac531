# SPDX-License-Identifier: Apache-2.0
"""Messages of several topics that belong together because their stamps are equal."""

from collections.abc import Callable, Collection, Mapping
from itertools import takewhile
from typing import Any

WAITING = 60
"""Sets that wait for their parts at most: a second of a fast camera, whose images come before what is made of them."""


class StampedSets:
    """Puts messages together, to the nanosecond.

    Args:
        given_up: called with the stamp of a set that was given up, because a set that began later was complete, too
            many waited, or by `give_up_lacking`, and its parts.
    """

    def __init__(self, given_up: Callable[[int, Mapping[str, Any]], None]) -> None:
        self._given_up = given_up
        self._sets: dict[int, dict[str, Any]] = {}
        """By stamp, in the order in which their first parts came: clocks may be set back."""

    def add(self, name: str, stamp_ns: int, message: Any, needed: Collection[str]) -> dict[str, Any] | None:
        """Add a message; its set, if it is complete with it.

        What began before a complete set is given up: the newest counts.

        Args:
            name: of the part.
            stamp_ns: of the message.
            message: whatever it is.
            needed: names of the parts of a complete set.
        """
        parts = self._sets.setdefault(stamp_ns, {})
        parts[name] = message
        if parts.keys() >= set(needed):
            self._give_up(list(takewhile(lambda stamp: stamp != stamp_ns, self._sets)))
            return self._sets.pop(stamp_ns)
        self._give_up(list(self._sets)[:-WAITING])
        return None

    def give_up_lacking(self, names: Collection[str], before_ns: int) -> None:
        """Give up the sets of before a stamp that have all of some names: what else they wait for will not come."""
        self._give_up([stamp for stamp, parts in self._sets.items() if stamp < before_ns and parts.keys() >= {*names}])

    def clear(self) -> None:
        """Forget all."""
        self._sets.clear()

    def _give_up(self, stamps: list[int]) -> None:
        for stamp in stamps:
            self._given_up(stamp, self._sets.pop(stamp))

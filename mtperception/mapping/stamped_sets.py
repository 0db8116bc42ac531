# SPDX-License-Identifier: Apache-2.0
"""Messages of several topics that belong together because their stamps are equal."""

from collections.abc import Collection
from typing import Any

WAITING = 30
"""Sets that wait for their parts at most; the oldest go first."""


class StampedSets:
    """Puts messages together, to the nanosecond."""

    def __init__(self) -> None:
        self._sets: dict[int, dict[str, Any]] = {}
        self.incomplete = 0
        """Sets that were given up because newer ones were complete, or too many waited."""

    def add(self, name: str, stamp_ns: int, message: Any, needed: Collection[str]) -> dict[str, Any] | None:
        """Add a message; its set, if it is complete with it.

        What is older than a complete set is given up: the newest counts.

        Args:
            name: of the part.
            stamp_ns: of the message.
            message: whatever it is.
            needed: names of the parts of a complete set.
        """
        parts = self._sets.setdefault(stamp_ns, {})
        parts[name] = message
        if parts.keys() >= set(needed):
            self._give_up([stamp for stamp in self._sets if stamp < stamp_ns])
            return self._sets.pop(stamp_ns)
        self._give_up(sorted(self._sets)[:-WAITING])
        return None

    def clear(self) -> None:
        """Forget all."""
        self._sets.clear()

    def _give_up(self, stamps: list[int]) -> None:
        for stamp in stamps:
            del self._sets[stamp]
        self.incomplete += len(stamps)

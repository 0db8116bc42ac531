# SPDX-License-Identifier: Apache-2.0
"""Which messages of two topics belong together."""

from bisect import bisect_left
from collections.abc import Sequence
from heapq import heappop, heappush

import numpy as np


def pair_by_stamp(first: Sequence[int], second: Sequence[int], tolerance: int) -> dict[int, int]:
    """Pair stamps that are near each other, the nearest ones first, each used once.

    Args:
        first: stamps, in any unit and order.
        second: the same of the other topic.
        tolerance: largest difference of a pair, 0 or more.

    Returns:
        Position in `second` by position in `first`; what has no partner is missing.
    """
    later = sorted(range(len(second)), key=second.__getitem__)
    earlier = sorted(range(len(second)), key=second.__getitem__, reverse=True)
    """Positions by stamp, oldest and newest first; equal ones as they come."""
    ascending = [second[position] for position in later]
    nearest: list[tuple[int, int, int, int, list[int]]] = []
    """Of each stamp the next candidate on either side: difference, positions of both, its place in which order."""

    def offer(i: int, place: int, order: list[int]) -> None:
        if place < len(order) and (difference := abs(second[order[place]] - first[i])) <= tolerance:
            heappush(nearest, (difference, i, order[place], place, order))

    for i, stamp in enumerate(first):
        before = bisect_left(ascending, stamp)
        offer(i, len(second) - before, earlier)
        offer(i, before, later)
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    while nearest:
        _, i, j, place, order = heappop(nearest)
        if i in pairs:
            continue
        if j in taken:
            offer(i, place + 1, order)
            continue
        pairs[i] = j
        taken.add(j)
    return pairs


def nearest_gap(first: Sequence[int], second: Sequence[int]) -> int | None:
    """The least difference between a stamp of one topic and one of another; None if one has none."""
    if not len(first) or not len(second):
        return None
    ordered = np.sort(np.asarray(second, np.int64))
    stamps = np.asarray(first, np.int64)
    after = np.minimum(np.searchsorted(ordered, stamps), len(ordered) - 1)
    before = np.maximum(after - 1, 0)
    return int(np.minimum(np.abs(ordered[after] - stamps), np.abs(ordered[before] - stamps)).min())

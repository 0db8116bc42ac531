# SPDX-License-Identifier: Apache-2.0
"""Which blocks of a map changed since somebody was told of it."""

from dataclasses import dataclass

import numpy as np

from mtperception.mapping.block_keys import packed, unpacked

_MULTIPLIERS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
"""Of the mixing function by Steele et al. (Fast Splittable Pseudorandom Number Generators, OOPSLA 2014), variant 13."""


@dataclass(frozen=True)
class Changes:
    """What to tell."""

    changed: np.ndarray
    """bool N: the points of blocks that are new or differ."""
    emptied: np.ndarray
    """int32 M,3: keys of blocks that had points and have none any more."""

    @property
    def any(self) -> bool:
        """Whether there is anything to tell."""
        return bool(len(self.emptied)) or bool(self.changed.any())


class BlockChanges:
    """Compares the points of a map with those of the time before, block by block.

    Points are compared, not the times at which blocks were seen: the points at the edge of a block change with its
    neighbour. Of each block a sum of 64 bits is kept, whatever the order of its points.
    """

    def __init__(self) -> None:
        self._keys, self._sums = np.zeros(0, np.int64), np.zeros(0, np.uint64)

    def update(self, points: np.ndarray, blocks: np.ndarray) -> Changes:
        """What changed with these points, which are those of the time before from now on.

        Args:
            points: N records of a structured dtype whose size is a multiple of 8 bytes.
            blocks: int32 N,3: the block that each lies in.
        """
        keys, block_of = np.unique(packed(blocks), return_inverse=True)
        sums = np.zeros(len(keys), np.uint64)
        np.add.at(sums, block_of, _hashes(points))
        changed = ~np.isin(keys, self._keys)
        place = np.searchsorted(self._keys, keys[~changed])
        changed[~changed] = self._sums[place] != sums[~changed]
        emptied = unpacked(self._keys[~np.isin(self._keys, keys)])
        self._keys, self._sums = keys, sums
        return Changes(changed[block_of], emptied)


def _hashes(points: np.ndarray) -> np.ndarray:
    """uint64 N, of the bytes of each record."""
    words = np.ascontiguousarray(points).view(np.uint64).reshape(len(points), points.itemsize // 8)
    mixed = np.zeros(len(points), np.uint64)
    for word in words.T:
        mixed = (mixed + np.uint64(0x9E3779B97F4A7C15)) ^ word
        mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(_MULTIPLIERS[0])
        mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(_MULTIPLIERS[1])
        mixed ^= mixed >> np.uint64(31)
    return mixed

# SPDX-License-Identifier: Apache-2.0
"""Sums that can be split over processes: in whatever order and grouping they are added, the result is the same."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtperception.errors import InputError


class ExactSum:
    """Sums of float64 numbers without rounding, one for each place of an array.

    Rounding makes a floating-point sum depend on the order; this one does not. Each sum is kept as several float64 that
    add up to it exactly: what one row loses to rounding goes to the next (error-free addition: D. Knuth, The Art of
    Computer Programming 2, 4.2.2; sums in several numbers: J. R. Shewchuk, Discrete & Computational Geometry 18, 1997).

    Args:
        shape: of the array; none for a single sum.
    """

    def __init__(self, *shape: int) -> None:
        self._rows = np.zeros((1, *shape))

    def __iadd__(self, other: 'ExactSum | np.ndarray | float') -> 'ExactSum':
        """Add numbers of this shape, or all that another sum of this shape was made of.

        Raises:
            ValueError: if a number is not finite.
        """
        rows = other._rows if isinstance(other, ExactSum) else np.asarray(other, np.float64)[None]
        for row in rows:
            self._add(row)
        return self

    def __getitem__(self, index: tuple[int, ...]) -> 'ExactSum':
        """The sums at the first places of the array, as numpy counts them, by themselves."""
        rows = self._rows[(slice(None), *index)]
        chosen = ExactSum(*rows.shape[1:])
        chosen._rows = rows.copy()
        return chosen

    @property
    def value(self) -> np.ndarray:
        """float64: the sums, each rounded once."""
        columns = self._rows.reshape(len(self._rows), -1).T.tolist()
        return np.array([math.fsum(column) for column in columns]).reshape(self._rows.shape[1:])

    def tolist(self) -> list[Any]:
        """What `restore` makes the same sums of; numbers keep all their digits in JSON."""
        return self._rows.tolist()

    def restore(self, rows: list[Any]) -> None:
        """Become the sums that `tolist` was taken of.

        Raises:
            ValueError: if they have another shape.
        """
        restored = np.array(rows, np.float64)
        _check_shape(restored.shape[1:], self._rows.shape[1:])
        self._rows = restored

    def _add(self, rest: np.ndarray) -> None:
        if not np.isfinite(rest).all():
            raise InputError('a sum of numbers that are not finite: expected finite ones')
        for index, row in enumerate(self._rows):
            total = row + rest
            added = total - row
            self._rows[index], rest = total, (row - (total - added)) + (rest - added)
        if rest.any():
            self._rows = np.concatenate([self._rows, rest[None]])


class RunningSum:
    """What is counted (int64 arrays) and what is summed (`ExactSum`), by name.

    The sum over a set is the merge of the sums over its parts, to the last bit.
    """

    def __init__(self, **sums: np.ndarray | ExactSum) -> None:
        self._sums = sums

    def merge(self, other: 'RunningSum') -> None:
        """Add what another sum of the same kind and size has seen."""
        for name, value in other._sums.items():
            self._sums[name] += value

    def state(self) -> dict[str, list[Any] | int]:
        """All that was summed, for JSON."""
        return {name: value.tolist() for name, value in self._sums.items()}

    def restore(self, state: Mapping[str, list[Any] | int]) -> None:
        """Become the sum that a state was taken of.

        Raises:
            ValueError: if it is of another kind or size.
        """
        if set(state) != set(self._sums):
            raise InputError(f'sums of {", ".join(sorted(state))}: expected {", ".join(sorted(self._sums))}')
        for name, value in self._sums.items():
            if isinstance(value, ExactSum):
                value.restore(state[name])
                continue
            counts = np.array(state[name], np.int64)
            _check_shape(counts.shape, value.shape)
            value[...] = counts


def _check_shape(found: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if found != expected:
        raise InputError(f'sums of shape {found}: expected {expected}')


def check_same_shape(predicted: np.ndarray, truth: np.ndarray) -> None:
    """Check that a prediction can be compared with a truth; raises ValueError."""
    if predicted.shape != truth.shape:
        raise InputError(f'prediction of shape {predicted.shape}, truth of shape {truth.shape}: expected the same')


def quotient(total: float, count: int) -> float:
    """A mean; NaN over nothing."""
    return float(total / count) if count else math.nan

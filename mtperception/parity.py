# SPDX-License-Identifier: Apache-2.0
"""Does an exported graph compute what the network computes? Judged by what single precision costs the network itself.

The reference is PyTorch in double precision. PyTorch in single precision differs from it by the network's own rounding,
which depends on weights and processor and can be millimetres of depth: that much, times a factor, the graph may differ.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mtperception.agreement import Maps, differences, mismatch
from mtperception.errors import MTPerceptionError
from mtperception.tasks import CLASSES, DIRECTIONS, METRES, SHARES, graph_output

MEAN_FACTOR = 8.0
"""The graph may be off by this many times the mean of the network's own rounding; sound graphs are by 0.6 to 1.7."""
LARGEST_FACTOR = 16.0
"""Likewise of the largest rounding, which varies more: 0.4 to 3.0."""
UNITS = {CLASSES: '', SHARES: ' of 255', METRES: ' m', DIRECTIONS: ''}
SMALLEST_MEAN = {CLASSES: 1e-3, SHARES: 0.02, METRES: 1e-5, DIRECTIONS: 1e-5}
SMALLEST_LARGEST = {CLASSES: 1.0, SHARES: 1.0, METRES: 1e-4, DIRECTIONS: 1e-4}
"""Allowed of every network, by kind of map, since upsampling and bytes are rounded too; 0.1 % of labels."""


class ParityError(MTPerceptionError, RuntimeError):
    """An exported graph whose outputs are not those of PyTorch."""


@dataclass(frozen=True)
class Difference:
    """Differences of one map over any number of pixels, by `agreement.differences`."""

    total: float = 0.0
    pixels: int = 0
    largest: float = 0.0

    @property
    def mean(self) -> float:
        """Over the pixels."""
        return self.total / max(self.pixels, 1)

    def add(self, values: np.ndarray) -> 'Difference':
        """With more pixels."""
        largest = max(self.largest, float(values.max()))
        return Difference(self.total + float(values.sum()), self.pixels + values.size, largest)


@dataclass(frozen=True)
class Parity:
    """How far a graph, and the network in single precision, are from the network in double precision."""

    graph: Mapping[str, Difference] = field(default_factory=dict)
    """By output of the graph."""
    rounding: Mapping[str, Difference] = field(default_factory=dict)
    """Rounding differences of PyTorch in single precision, on the same images."""

    def add(self, found: Maps, single: Maps, double: Maps) -> 'Parity':
        """With more images.

        Args:
            found: maps of the graph.
            single: of PyTorch in single precision.
            double: of PyTorch in double precision.

        Raises:
            ParityError: if maps are missing, of another type or shape, or not finite.
        """
        for who, maps in (('the exported graph', found), ('the network in single precision', single)):
            check_usable(maps, double, who)
        return Parity(_added(self.graph, found, double), _added(self.rounding, single, double))

    def check(self) -> None:
        """Check each output.

        Raises:
            ParityError: if the graph is off by more than `MEAN_FACTOR` and `LARGEST_FACTOR` allow.
        """
        problems = [self._problem(name) for name in self.graph]
        if any(problems):
            raise ParityError(
                f'the exported graph differs from PyTorch by more than rounding explains: '
                f'{"; ".join(filter(None, problems))} (all against float64)'
            )

    def _problem(self, name: str) -> str:
        graph, rounding, kind = self.graph[name], self.rounding[name], graph_output(name).kind
        mean = max(MEAN_FACTOR * rounding.mean, SMALLEST_MEAN[kind])
        largest = max(LARGEST_FACTOR * rounding.largest, SMALLEST_LARGEST[kind])
        # Written so that what is not a number is a problem too.
        if graph.mean <= mean and graph.largest <= largest:
            return ''
        unit = UNITS[kind]
        return (
            f'{name}: mean {graph.mean:.1e}{unit}, at most {graph.largest:.1e}{unit}; PyTorch in float32 has mean '
            f'{rounding.mean:.1e}{unit}, at most {rounding.largest:.1e}{unit}; expected a mean up to {mean:.1e}{unit} '
            f'({MEAN_FACTOR:g} x) and at most {largest:.1e}{unit} ({LARGEST_FACTOR:g} x)'
        )

    def __str__(self) -> str:
        """One line, with what float32 costs in PyTorch in brackets."""
        return (
            ', '.join(self._line(name) for name in self.graph)
            + '; in brackets PyTorch in float32, both against float64'
        )

    def _line(self, name: str) -> str:
        graph, rounding, kind = self.graph[name], self.rounding[name], graph_output(name).kind
        if kind == CLASSES:
            return f'{name} equal on {1 - graph.mean:.4%} ({1 - rounding.mean:.4%})'
        return f'{name} within {graph.largest:.1e}{UNITS[kind]} ({rounding.largest:.1e}{UNITS[kind]})'


def check_usable(maps: Maps, like: Maps, who: str = 'the network') -> None:
    """Check that maps are all there, of the type and shape of others, and that the numbers of both are finite.

    Raises:
        ParityError: if not; says it of `who`.
    """
    problem = mismatch(maps, like) or mismatch(like, like)
    if problem:
        raise ParityError(f'{who} gives no usable maps: {problem}')


def _added(sums: Mapping[str, Difference], maps: Maps, expected: Maps) -> dict[str, Difference]:
    return {
        name: sums.get(name, Difference()).add(differences(name, maps[name], reference))
        for name, reference in expected.items()
    }

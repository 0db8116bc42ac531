# SPDX-License-Identifier: Apache-2.0
"""Times of functions that take turns, so that whatever else the machine does disturbs all of them alike."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mtperception.errors import InputError

MOST_PER_TURN = 20
FEWEST_ROUNDS = 3


@dataclass(frozen=True)
class Budget:
    """How long to measure: `iterations` rounds of one run each or, without, rounds for about `seconds`."""

    seconds: float = 10.0
    iterations: int | None = None

    def __post_init__(self) -> None:
        """Check the time: without an end, nothing would come out."""
        if not 0 <= self.seconds < math.inf:
            raise InputError(f'{self.seconds} seconds: expected a finite number from 0 on')


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one run, over `runs` of them."""

    median_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    runs: int

    @classmethod
    def of(cls, seconds: list[float]) -> 'Latency':
        """From the durations of the runs."""
        times = np.array(seconds) * 1e3
        return cls(*np.percentile(times, (50, 90, 99)).tolist(), float(times.mean()), len(times))


def measure(functions: Mapping[str, Callable[[], object]], budget: Budget) -> dict[str, Latency]:
    """Time functions in turns.

    Within seconds, a turn lasts as long as one run of the slowest function (20 runs at most), so that a fast one is not
    known by as few runs as a slow one. Each runs once before, which does not count.

    Args:
        functions: by name; each returns when its work is done.
        budget: how long.
    """
    first = {name: _time(function) for name, function in functions.items()}
    turns = {name: _runs_per_turn(seconds, max(first.values()), budget) for name, seconds in first.items()}
    times: dict[str, list[float]] = {name: [] for name in functions}
    rounds, start = 0, time.perf_counter()
    while not _is_over(rounds, time.perf_counter() - start, budget):
        for name, function in functions.items():
            times[name] += [_time(function) for _ in range(turns[name])]
        rounds += 1
    return {name: Latency.of(seconds) for name, seconds in times.items()}


def _runs_per_turn(seconds: float, slowest: float, budget: Budget) -> int:
    if budget.iterations is not None:
        return 1
    return min(MOST_PER_TURN, max(1, round(slowest / seconds)))


def _is_over(rounds: int, elapsed: float, budget: Budget) -> bool:
    if budget.iterations is not None:
        return rounds >= budget.iterations
    return rounds >= FEWEST_ROUNDS and elapsed >= budget.seconds


def _time(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start

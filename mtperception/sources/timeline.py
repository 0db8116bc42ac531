# SPDX-License-Identifier: Apache-2.0
"""When each frame of a source is due."""

from collections.abc import Iterator

from mtperception.sources.source import Frame, Source

CLOCK_SET_NS = 3600 * 10**9
"""More between two stamps is a clock that was set: from the time since the start of a machine to that of today."""
STILL_GAP = 0.1
"""Seconds from one showing of a single image to the next, when no rate is asked for."""


def timeline(source: Source, rate: float = 0.0, loop: bool = False) -> Iterator[tuple[float, Frame]]:
    """Pairs of (seconds from the start, frame).

    Args:
        source: read frame by frame, each when it is asked for.
        rate: frames per second; 0 = as the frames' own stamps say, and at once where the clock was set between two.
        loop: start again at the end, in time as well: the gap is the mean one of the frames.
    """
    if not rate:
        yield from _by_stamps(source, loop)
        return
    for index, (_, frame) in enumerate(_by_stamps(source, loop)):
        yield index / rate, frame


def _by_stamps(source: Source, loop: bool) -> Iterator[tuple[float, Frame]]:
    start = 0.0
    while True:
        count, first, before, due = 0, 0, 0, start
        for frame in source:
            gap = frame.stamp_ns - before
            if count == 0 or abs(gap) > CLOCK_SET_NS:
                first += gap
            before = frame.stamp_ns
            due = start + (frame.stamp_ns - first) / 1e9
            count += 1
            yield due, frame
        if not (loop and count):
            return
        start = due + ((due - start) / max(count - 1, 1) or STILL_GAP)

# SPDX-License-Identifier: Apache-2.0
"""When each frame of a source is due."""

from collections.abc import Iterator

from mtperception.sources.source import Frame, Source

LONGEST_PAUSE_S = 10.0
"""More between two stamps is a clock that was set, or a pause that nobody wants to wait for."""
STILL_GAP = 0.1
"""Seconds from one showing of a single image to the next, when no rate is asked for."""


def timeline(source: Source, rate: float = 0.0, loop: bool = False) -> Iterator[tuple[float, Frame]]:
    """Pairs of (seconds from the start, frame).

    Args:
        source: read frame by frame, each when it is asked for.
        rate: frames per second; 0 = as the frames' own stamps say, but what is further apart than `LONGEST_PAUSE_S` as
            much as that, and at once where time jumps back as far.
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
        count, before, due = 0, 0, start
        for frame in source:
            gap = (frame.stamp_ns - before) / 1e9 if count else 0.0
            if abs(gap) > LONGEST_PAUSE_S:
                gap = LONGEST_PAUSE_S if gap > 0 else 0.0
            due, before = due + gap, frame.stamp_ns
            count += 1
            yield due, frame
        if not (loop and count):
            return
        start = due + ((due - start) / max(count - 1, 1) or STILL_GAP)

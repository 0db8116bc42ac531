# SPDX-License-Identifier: Apache-2.0
"""When each frame of a source is due."""

from collections.abc import Iterator

from mtperception.sources.source import Frame, Source

STILL_GAP = 0.1
"""Seconds from one showing of a single image to the next, when no rate is asked for."""


def timeline(source: Source, rate: float = 0.0, loop: bool = False) -> Iterator[tuple[float, Frame]]:
    """Pairs of (seconds from the start, frame).

    Args:
        source: read frame by frame, each when it is asked for.
        rate: frames per second; 0 = as the frames' own stamps say.
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
        count, first, due = 0, 0, start
        for frame in source:
            first = frame.stamp_ns if count == 0 else first
            due = start + (frame.stamp_ns - first) / 1e9
            count += 1
            yield due, frame
        if not (loop and count):
            return
        start = due + ((due - start) / max(count - 1, 1) or STILL_GAP)

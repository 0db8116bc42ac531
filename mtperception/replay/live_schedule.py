# SPDX-License-Identifier: Apache-2.0
"""When the images of a recording are due as they are played at the pace at which they were recorded."""

from collections.abc import Sequence
from itertools import pairwise

LONGEST_PAUSE_S = 10.0
"""More between two stamps is a clock that was set, or a pause that nobody wants to wait for."""


def due_times(times_ns: Sequence[tuple[int, int]]) -> tuple[list[float], int]:
    """When each image is due, by its stamp.

    A stamp that is more than `LONGEST_PAUSE_S` later than the one before says nothing about the pace. The clock may
    have been set, such as from the time since the start of the machine to that of today: when the image was received
    counts instead, and at most `LONGEST_PAUSE_S`, since the recorder's clock may have been set too.

    Args:
        times_ns: stamp and time of reception of each image, nanoseconds, in the order of the recording.

    Returns:
        Seconds from the first image, and how many images are due at another time than by their stamps alone.
    """
    due, pauses = [0.0] * len(times_ns), 0
    for index, (before, now) in enumerate(pairwise(times_ns), 1):
        by_stamp, by_reception = ((now[clock] - before[clock]) / 1e9 for clock in (0, 1))
        is_pause = by_stamp > LONGEST_PAUSE_S
        due[index] = due[index - 1] + (min(by_reception, LONGEST_PAUSE_S) if is_pause else by_stamp)
        pauses += is_pause
    return due, pauses

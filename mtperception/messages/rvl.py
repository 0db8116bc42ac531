# SPDX-License-Identifier: Apache-2.0
"""RVL, the lossless compression of depth of A. D. Wilson, Fast Lossless Depth Image Compression (ISS 2017).

A row-major image of 16 bits is runs of pixels without depth and runs of pixels with depth. For each pair of runs there
are the number of zeros, the number of values, and of each value its difference from the one before (the first from 0),
with the sign in the lowest bit. All these numbers are written in groups of three bits, lowest first, each in a nibble
whose highest bit says that more follow. Nibbles fill little-endian words of 32 bits from the top.
"""

import numpy as np

from mtperception.errors import MTPerceptionError

MAX_NIBBLES = 11
"""Most nibbles of a number of 32 bits."""


class RvlError(MTPerceptionError, ValueError):
    """Bytes that are not an image of the size that is expected; the message says how."""


def decode_rvl(data: bytes, count: int) -> np.ndarray:
    """uint16 N: the first `count` pixels.

    Raises:
        RvlError: if the data end early or describe something else.
    """
    values = _numbers(data)
    pixels = np.zeros(count, np.int64)
    at, position, previous = 0, 0, 0
    while position < count:
        if at + 2 > len(values):
            raise RvlError(f'cut off: {position} of {count} pixels are there')
        zeros, known = int(values[at]), int(values[at + 1])
        start, end = position + zeros, position + zeros + known
        if zeros + known == 0 or end > count:
            raise RvlError(f'at pixel {position} of {count} a run of {zeros} without and {known} with depth')
        deltas = values[at + 2 : at + 2 + known]
        if len(deltas) < known:
            raise RvlError(f'cut off: {start + len(deltas)} of {count} pixels are there')
        if known:
            run = previous + np.cumsum((deltas >> 1) ^ -(deltas & 1))
            pixels[start:end] = run
            previous = int(run[-1])
        at, position = at + 2 + known, end
    if pixels.min(initial=0) < 0 or pixels.max(initial=0) > np.iinfo(np.uint16).max:
        raise RvlError(f'depths from {pixels.min()} to {pixels.max()}: expected 16 bits')
    return pixels.astype(np.uint16)


def _numbers(data: bytes) -> np.ndarray:
    """int64 N: what the nibbles say, and perhaps zeros of the unused end of the last word."""
    words = np.frombuffer(data, '<u4', len(data) // 4)
    nibbles = ((words[:, None] >> np.arange(28, -1, -4, dtype=np.uint32)) & 0xF).astype(np.int64).ravel()
    ends = np.flatnonzero(nibbles < 8)
    if not len(ends):
        return np.zeros(0, np.int64)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if (ends - starts).max() >= MAX_NIBBLES:
        raise RvlError(f'a number of more than {MAX_NIBBLES} nibbles')
    used = nibbles[: ends[-1] + 1]
    place = np.arange(len(used)) - np.repeat(starts, ends - starts + 1)
    return np.add.reduceat((used & 7) << (3 * place), starts)

# SPDX-License-Identifier: Apache-2.0
"""Let at most so many frames per second pass."""


class RateLimit:
    """Passes frames on a regular schedule, which a pause starts anew."""

    def __init__(self) -> None:
        self._due = float('-inf')

    def passes(self, now: float, max_rate: float) -> bool:
        """Whether a frame of this moment passes.

        Args:
            now: monotonic seconds.
            max_rate: frames per second; 0 = all pass.
        """
        if not max_rate:
            return True
        period = 1 / max_rate
        # Nobody waits for longer than a period: what is due later than that is so by a rate that was lower.
        if now < self._due <= now + period:
            return False
        on_schedule = 0 <= now - self._due < period
        self._due = (self._due if on_schedule else now) + period
        return True

# SPDX-License-Identifier: Apache-2.0
"""What the node counts and times. Thread-safe: frames arrive in one thread and are answered in another."""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping

import numpy as np

STAGES = ('convert', 'upload', 'inference', 'download', 'publish', 'overhead', 'total')
"""`overhead` is all of `total` but what the backend takes: the node's own share, and waiting for the frame before."""
LATENCY_WINDOW = 1000
RATE_WINDOW_S = 5.0
REPORT_PERIOD_S = 10.0
MIN_STALL_S = 1.0

Clock = Callable[[], float]


class LatencyLedger:
    """Milliseconds by stage of the last 1000 frames."""

    def __init__(self) -> None:
        self._frames: deque[Mapping[str, float]] = deque(maxlen=LATENCY_WINDOW)
        self._lock = threading.Lock()

    def add(self, latency_ms: Mapping[str, float]) -> None:
        """Enter a frame; stages that are missing count as 0."""
        with self._lock:
            self._frames.append(latency_ms)

    def summary(self) -> dict[str, tuple[float, float, float]]:
        """p50, p99 and largest by stage; empty without frames."""
        with self._lock:
            frames = list(self._frames)
        if not frames:
            return {}
        table = np.array([[frame.get(stage, 0.0) for stage in STAGES] for frame in frames])
        p50, p99 = np.percentile(table, (50, 99), axis=0)
        return {stage: (p50[i], p99[i], table[:, i].max()) for i, stage in enumerate(STAGES)}


class RateMeter:
    """Events per second over the last five seconds, or between the last two events if that is longer."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._times: deque[float] = deque()
        self._lock = threading.Lock()
        self.count = 0

    def tick(self) -> None:
        """Count an event now."""
        with self._lock:
            self.count += 1
            self._times.append(self._clock())
            self._forget()

    def rate(self) -> float:
        """Events per second, by the intervals between them; 0 with fewer than two, or if they have stopped."""
        with self._lock:
            self._forget()
            if len(self._times) < 2:
                return 0.0
            if self._clock() - self._times[-1] > max(RATE_WINDOW_S, 2 * (self._times[-1] - self._times[-2])):
                return 0.0
            # The interval that is still open counts once it is longer than those before it: a stream that stops slows.
            span = max(self._times[-1] - self._times[0], self._clock() - self._times[1])
            return (len(self._times) - 1) / span if span > 0 else 0.0

    def since_last(self) -> float:
        """Seconds since the last event; infinite before the first."""
        with self._lock:
            return self._clock() - self._times[-1] if self._times else float('inf')

    def _forget(self) -> None:
        """Drop what is older than the window, all but the newest two."""
        while len(self._times) > 2 and self._clock() - self._times[0] > RATE_WINDOW_S:
            self._times.popleft()


class Reports:
    """Counts what happens by kind; says which to report: the first of a kind, then one after each period.

    Args:
        period_s: seconds; infinite: only the first of a kind.
        clock: monotonic seconds.
    """

    def __init__(self, period_s: float, clock: Clock = time.monotonic) -> None:
        self._period_s = period_s
        self._clock = clock
        self._reported: dict[str, float] = {}
        self._lock = threading.Lock()
        self._last = float('-inf')
        self._counts: Counter[str] = Counter()
        self.last_reason = ''

    @property
    def counts(self) -> Counter[str]:
        """How often each kind happened up to now."""
        with self._lock:
            return self._counts.copy()

    def add(self, kind: str, reason: str) -> bool:
        """Count one; True if it should be reported."""
        with self._lock:
            now = self._clock()
            self._counts[kind] += 1
            self.last_reason = reason
            self._last = now
            if kind in self._reported and now - self._reported[kind] < self._period_s:
                return False
            self._reported[kind] = now
            return True

    def recent(self) -> bool:
        """Whether one was counted in the last 10 seconds."""
        return self._clock() - self._last < REPORT_PERIOD_S


class Monitor:
    """All that the diagnostics show of the stream of a camera.

    Attributes:
        received: images that arrived.
        answered: images whose outputs were published.
        refusals: messages that could not be used.
        remarks: what was odd about messages that were used.
        dropped: images that were replaced by newer ones while they waited.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self.received = RateMeter(clock)
        self.answered = RateMeter(clock)
        self.ledger = LatencyLedger()
        self.refusals = Reports(REPORT_PERIOD_S, clock)
        self.remarks = Reports(float('inf'), clock)
        self._lock = threading.Lock()
        self.dropped = 0
        self.last_stamp_ns: int | None = None
        self._waiting_since: float | None = None

    def receive(self, stamp_ns: int) -> float:
        """Count an image; by how many seconds its stamp is before the last one's, 0 if it is not."""
        self.received.tick()
        last, self.last_stamp_ns = self.last_stamp_ns, stamp_ns
        return 0.0 if last is None else max(0.0, (last - stamp_ns) / 1e9)

    def drop(self) -> None:
        """Count a frame that was replaced by a newer one while it waited."""
        with self._lock:
            self.dropped += 1

    def accept(self) -> None:
        """Note that an image is to be answered."""
        if self._waiting_since is None:
            self._waiting_since = self._clock()

    def answer(self) -> None:
        """Count an image whose outputs were published."""
        self.answered.tick()
        self._waiting_since = None

    def restart(self) -> None:
        """The image that is to be answered waited for a preparation: from now on it waits for the answer."""
        if self._waiting_since is not None:
            self._waiting_since = self._clock()

    def forget(self) -> None:
        """Nothing is to be answered any more."""
        self._waiting_since = None

    @property
    def is_waiting(self) -> bool:
        """Whether an image is to be answered."""
        return self._waiting_since is not None

    def stalled(self) -> bool:
        """Images arrive, but the oldest that is to be answered has waited for longer than max(1 s, 5 x p99)."""
        waiting_since = self._waiting_since  # once: the worker may answer at any moment
        if waiting_since is None or self.received.since_last() > MIN_STALL_S:
            return False
        p99_s = self.ledger.summary().get('total', (0.0, 0.0, 0.0))[1] / 1e3
        return self._clock() - waiting_since > max(MIN_STALL_S, 5 * p99_s)

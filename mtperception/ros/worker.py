"""One thread, one slot: the newest frame wins."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Job = TypeVar('Job')


class LatestWorker(Generic[Job]):
    """Handles jobs in a thread of its own. A job that waits is replaced by a newer one, and counted.

    Args:
        handle: called with one job at a time, in the worker's thread; must not raise.
        dropped: called whenever a waiting job was replaced, in the thread of `submit`.
    """

    def __init__(self, handle: Callable[[Job], None], dropped: Callable[[], None]) -> None:
        self._handle = handle
        self._dropped = dropped
        self._slot: Job | None = None
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name='perception worker', daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Put a job into the slot; returns at once."""
        with self._wake:
            replaced = self._slot is not None
            self._slot = job
            self._wake.notify()
        if replaced:
            self._dropped()

    def stop(self) -> None:
        """Finish the job in hand, forget the one that waits, end the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    def _loop(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._slot is not None)
                if self._stopping:
                    return
                job, self._slot = self._slot, None
            self._handle(job)

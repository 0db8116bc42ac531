"""One thread, one slot for each sender: of each the newest wins."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Job = TypeVar('Job')


class LatestWorker(Generic[Job]):
    """Handles jobs in a thread of its own. A job that waits is replaced by a newer one of the same sender.

    Args:
        handle: called in the worker's thread with all jobs that wait, one of each sender at most, the oldest first;
            must not raise.
        dropped: called with every job that was replaced, in the thread of `submit` or `put_back`.
    """

    def __init__(self, handle: Callable[[list[Job]], None], dropped: Callable[[Job], None]) -> None:
        self._handle = handle
        self._dropped = dropped
        self._slots: dict[Hashable, Job] = {}
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._loop, name='perception worker', daemon=True)
        self._thread.start()

    def submit(self, sender: Hashable, job: Job) -> None:
        """Put a job into the slot of its sender; returns at once."""
        with self._wake:
            replaced = self._slots.pop(sender, None)
            self._slots[sender] = job
            self._wake.notify()
        if replaced is not None:
            self._dropped(replaced)

    def put_back(self, sender: Hashable, job: Job) -> None:
        """Put a job that had to wait elsewhere into the slot of its sender; it is dropped if a newer one is there."""
        with self._wake:
            is_late = sender in self._slots
            self._slots.setdefault(sender, job)
            self._wake.notify()
        if is_late:
            self._dropped(job)

    def stop(self) -> None:
        """Finish the jobs in hand, forget those that wait, end the thread."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join()

    def _loop(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopping or self._slots)
                if self._stopping:
                    return
                jobs, self._slots = list(self._slots.values()), {}
            self._handle(jobs)

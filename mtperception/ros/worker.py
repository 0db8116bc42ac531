# SPDX-License-Identifier: Apache-2.0
"""One thread, one slot for each sender: of each the newest wins."""

import contextvars
import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Job = TypeVar('Job')


class LatestWorker(Generic[Job]):
    """Handles jobs in a thread of its own. A job that waits is replaced by a newer one of the same sender.

    The thread has the context variables of the one that makes the worker. A process does not exit before it has ended.

    Args:
        handle: called in the worker's thread with all jobs that wait, one of each sender at most, the oldest first;
            must not raise.
        dropped: called with every job that was replaced, in the thread of `submit` or `put_back`.
        ended: the last thing that the worker's thread calls.
        name: of the thread.
    """

    def __init__(
        self,
        handle: Callable[[list[Job]], None],
        dropped: Callable[[Job], None],
        ended: Callable[[], None] = lambda: None,
        name: str = 'perception worker',
    ) -> None:
        self._handle = handle
        self._dropped = dropped
        self._ended = ended
        self._slots: dict[Hashable, Job] = {}
        self._wake = threading.Condition()
        self._ending = False
        context = contextvars.copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._run,), name=name)
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

    def clear(self) -> None:
        """Forget the jobs that wait; those in hand are finished. Returns at once."""
        with self._wake:
            self._slots.clear()

    def end(self) -> None:
        """Let the thread end by itself once the jobs in hand are finished; those that wait are forgotten.

        Returns at once: what is in hand may take minutes.
        """
        with self._wake:
            self._ending = True
            self._wake.notify()

    def _run(self) -> None:
        while jobs := self._next():
            self._handle(jobs)
            del jobs  # what waits for the next ones keeps nothing of these
        self._ended()

    def _next(self) -> list[Job]:
        """Wait for jobs; none when the worker is to end."""
        with self._wake:
            self._wake.wait_for(lambda: self._ending or self._slots)
            jobs, self._slots = list(self._slots.values()), {}
            return [] if self._ending else jobs

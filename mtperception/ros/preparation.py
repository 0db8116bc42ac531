# SPDX-License-Identifier: Apache-2.0
"""New image sizes are prepared in a thread of their own, while frames of other sizes are answered."""

import contextvars
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mtperception.backends import BackendUnavailableError, PreparationError

Job = TypeVar('Job')
Shape = tuple[int, int, int]
"""Width and height of images, and how many run together."""
AGAIN_AFTER_S = 30.0
"""For so long a size is not prepared again: neither one that failed, nor one that was dropped, though in use, because
more are in use than are kept."""


class NoRoomError(PreparationError):
    """A size that was prepared and dropped again: not all sizes in use have room."""


@dataclass(frozen=True)
class _Waiting(Generic[Job]):
    shape: Shape
    job: Job


@dataclass(frozen=True)
class _Attempt:
    ended: float
    """Monotonic seconds."""
    reason: str
    """Why it failed; empty if it did not."""


class Preparation(Generic[Job]):
    """Prepares for the shapes that jobs wait for, one after the other. Of each sender the newest job waits.

    The thread lives only while jobs wait; a process does not exit before it has ended.

    Args:
        prepare: called with a shape, in the thread; may take minutes; raises BackendUnavailableError.
        dropped: called with each job that was replaced by a newer one.
        prepared: called with each job that waited, in the thread, when its size is prepared.
        failed: called with each job that waited, in the thread, and the reason, when its size cannot be prepared.
        kept: how many shapes are kept at most.
    """

    def __init__(
        self,
        prepare: Callable[[Shape], None],
        dropped: Callable[[Job], None],
        prepared: Callable[[Job], None],
        failed: Callable[[Job, str], None],
        kept: int,
    ) -> None:
        self._prepare = prepare
        self._dropped = dropped
        self._prepared = prepared
        self._failed = failed
        self._kept = kept
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, _Waiting[Job]] = {}
        self._attempts: dict[Shape, _Attempt] = {}
        self._thread: threading.Thread | None = None

    def wait(self, sender: Hashable, shape: Shape, job: Job) -> None:
        """Let a job wait until its size is prepared; returns at once.

        Raises:
            PreparationError: if preparing for the size failed a short while ago.
            NoRoomError: if it was prepared, and dropped again, a short while ago.
        """
        with self._lock:
            self._check_attempts(shape)
            replaced = self._waiting.pop(sender, None)
            self._waiting[sender] = _Waiting(shape, job)
            if self._thread is None:
                context = contextvars.copy_context()  # which says for whom it logs
                self._thread = threading.Thread(target=context.run, args=(self._run,), name='perception preparation')
                self._thread.start()
        if replaced is not None:
            self._dropped(replaced.job)

    def is_waiting(self, sender: Hashable) -> bool:
        """Whether a job of this sender waits."""
        return sender in self._waiting

    def forget(self) -> None:
        """Forget the jobs that wait; a preparation in hand goes on, for none of them."""
        with self._lock:
            self._waiting.clear()

    def close(self) -> None:
        """Forget the jobs that wait, and wait for a preparation in hand to end."""
        with self._lock:
            self._waiting.clear()
            thread = self._thread
        if thread is not None:
            thread.join()

    def _check_attempts(self, shape: Shape) -> None:
        now = time.monotonic()
        self._attempts = {shape: last for shape, last in self._attempts.items() if now - last.ended < AGAIN_AFTER_S}
        last = self._attempts.get(shape)
        if last is None:
            return
        if last.reason:
            raise PreparationError(last.reason)
        width, height, _ = shape
        raise NoRoomError(
            f'{width}x{height} was prepared and dropped again: more sizes are in use than are kept ({self._kept}, '
            'or fewer if memory_budget allows no more). Give cameras the same size; if they are fewer, raise '
            f'memory_budget (next try within {AGAIN_AFTER_S:.0f} s)'
        )

    def _run(self) -> None:
        try:
            while (shape := self._next()) is not None:
                reason = self._reason_of_failure(shape)
                for job in self._done(shape, reason):
                    if reason:
                        self._failed(job, reason)
                    else:
                        self._prepared(job)
        except BaseException:
            with self._lock:
                self._thread = None  # the next job starts another one
            raise

    def _next(self) -> Shape | None:
        """The size of the job that has waited longest; None: the thread ends."""
        with self._lock:
            for waiting in self._waiting.values():
                return waiting.shape
            self._thread = None
            return None

    def _reason_of_failure(self, shape: Shape) -> str:
        try:
            self._prepare(shape)
        except BackendUnavailableError as error:
            return str(error)
        except Exception as error:  # noqa: BLE001 - one size that fails must not leave all others waiting
            return f'{type(error).__name__}: {error}'
        return ''

    def _done(self, shape: Shape, reason: str) -> list[Job]:
        """Take the jobs that waited for a size."""
        with self._lock:
            self._attempts[shape] = _Attempt(time.monotonic(), reason)
            done = {sender: waiting.job for sender, waiting in self._waiting.items() if waiting.shape == shape}
            for sender in done:
                del self._waiting[sender]
        return list(done.values())

# SPDX-License-Identifier: Apache-2.0
"""The newest frame of each camera wins."""

import threading
import time
from contextvars import ContextVar

from mtperception.ros.worker import LatestWorker


class Gate:
    """A handler that waits for permission, so that the test knows what waits."""

    def __init__(self):
        self.handled = []
        self.dropped = []
        self._started = threading.Semaphore(0)
        self._permits = threading.Semaphore(0)

    def handle(self, jobs):
        self._started.release()
        assert self._permits.acquire(timeout=10)
        self.handled.append(jobs)

    def drop(self, job):
        self.dropped.append(job)

    def wait_until_started(self):
        assert self._started.acquire(timeout=10)

    def permit(self, count=1):
        self._permits.release(count)


def end(worker):
    """End a worker and wait until its thread is gone."""
    worker.end()
    for thread in threading.enumerate():
        if thread.name == 'perception worker':
            thread.join(10)
            assert not thread.is_alive()


def test_an_older_waiting_job_is_replaced_and_counted():
    gate = Gate()
    worker = LatestWorker(gate.handle, gate.drop)
    worker.submit('camera', 0)
    gate.wait_until_started()
    for job in (1, 2, 3):
        worker.submit('camera', job)
    gate.permit(2)
    gate.wait_until_started()
    end(worker)
    assert gate.handled == [[0], [3]]
    assert gate.dropped == [1, 2]


def test_it_ends_by_itself_after_the_job_in_hand_and_forgets_the_waiting_one():
    """Whoever tells it to end does not wait: here the job goes on only afterwards."""
    gate, ended = Gate(), threading.Event()
    worker = LatestWorker(gate.handle, gate.drop, ended.set)
    worker.submit('camera', 0)
    gate.wait_until_started()
    worker.submit('camera', 1)
    worker.end()
    assert not ended.is_set()
    gate.permit(2)
    assert ended.wait(10)
    end(worker)
    assert gate.handled == [[0]]
    assert gate.dropped == []


def test_one_that_has_nothing_to_do_ends_at_once():
    ended = threading.Event()
    LatestWorker(list, list, ended.set).end()
    assert ended.wait(10)


def test_what_waits_is_forgotten_and_what_comes_later_is_handled():
    gate = Gate()
    worker = LatestWorker(gate.handle, gate.drop)
    worker.submit('camera', 'in hand')
    gate.wait_until_started()
    worker.submit('camera', 'forgotten')
    worker.clear()
    worker.submit('camera', 'later')
    gate.permit(2)
    gate.wait_until_started()
    end(worker)
    assert gate.handled == [['in hand'], ['later']]


def test_it_works_in_the_context_of_whoever_made_it():
    speaker, found = ContextVar('speaker'), []
    speaker.set('the node')
    worker = LatestWorker(lambda jobs: found.append(speaker.get()), list)
    speaker.set('another')
    worker.submit('camera', 0)
    while not found:
        time.sleep(0.001)
    end(worker)
    assert found == ['the node']


def test_submit_does_not_wait_for_the_handler():
    gate = Gate()
    worker = LatestWorker(gate.handle, gate.drop)
    submitter = threading.Thread(target=lambda: [worker.submit('camera', job) for job in range(1000)])
    submitter.start()
    submitter.join(10)
    assert not submitter.is_alive()
    assert len(gate.dropped) >= 998
    gate.permit(2)
    end(worker)


def test_a_job_that_comes_back_does_not_replace_a_newer_one():
    gate = Gate()
    worker = LatestWorker(gate.handle, gate.drop)
    worker.submit('front', 'f0')
    gate.wait_until_started()
    worker.submit('front', 'f2')
    worker.put_back('front', 'f1')
    worker.put_back('rear', 'r1')
    gate.permit(2)
    gate.wait_until_started()
    end(worker)
    assert gate.handled == [['f0'], ['f2', 'r1']]
    assert gate.dropped == ['f1']


def test_jobs_of_different_senders_wait_side_by_side():
    """What has arrived is handled together; nobody waits for a sender that is slow, or takes another's slot."""
    gate = Gate()
    worker = LatestWorker(gate.handle, gate.drop)
    worker.submit('front', 'f0')
    gate.wait_until_started()
    for sender, job in [('front', 'f1'), ('rear', 'r0'), ('front', 'f2')]:
        worker.submit(sender, job)
    gate.permit(2)
    gate.wait_until_started()
    end(worker)
    assert gate.handled == [['f0'], ['r0', 'f2']]
    assert gate.dropped == ['f1']

"""The newest frame wins."""

import threading

from mtperception.ros.worker import LatestWorker


class Gate:
    """A handler that waits for permission, so that the test knows what waits."""

    def __init__(self):
        self.handled = []
        self.dropped = 0
        self._started = threading.Semaphore(0)
        self._permits = threading.Semaphore(0)

    def handle(self, job):
        self._started.release()
        assert self._permits.acquire(timeout=10)
        self.handled.append(job)

    def drop(self):
        self.dropped += 1

    def wait_until_started(self):
        assert self._started.acquire(timeout=10)

    def permit(self, count=1):
        self._permits.release(count)


def test_an_older_waiting_job_is_replaced_and_counted():
    gate = Gate()
    worker = LatestWorker(gate.handle, gate.drop)
    worker.submit(0)
    gate.wait_until_started()
    for job in (1, 2, 3):
        worker.submit(job)
    gate.permit(2)
    gate.wait_until_started()
    worker.stop()
    assert gate.handled == [0, 3]
    assert gate.dropped == 2


def test_stop_finishes_the_job_in_hand_and_forgets_the_waiting_one():
    gate = Gate()
    worker = LatestWorker(gate.handle, gate.drop)
    worker.submit(0)
    gate.wait_until_started()
    worker.submit(1)
    threading.Timer(0.1, gate.permit).start()
    worker.stop()
    assert gate.handled == [0]
    assert not [thread for thread in threading.enumerate() if thread.name == 'perception worker']


def test_submit_does_not_wait_for_the_handler():
    gate = Gate()
    worker = LatestWorker(gate.handle, gate.drop)
    submitter = threading.Thread(target=lambda: [worker.submit(job) for job in range(1000)])
    submitter.start()
    submitter.join(10)
    assert not submitter.is_alive()
    assert gate.dropped >= 998
    gate.permit(2)
    worker.stop()

"""The newest frame of each camera wins."""

import threading

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


def test_an_older_waiting_job_is_replaced_and_counted():
    gate = Gate()
    worker = LatestWorker(gate.handle, gate.drop)
    worker.submit('camera', 0)
    gate.wait_until_started()
    for job in (1, 2, 3):
        worker.submit('camera', job)
    gate.permit(2)
    gate.wait_until_started()
    worker.stop()
    assert gate.handled == [[0], [3]]
    assert gate.dropped == [1, 2]


def test_stop_finishes_the_job_in_hand_and_forgets_the_waiting_one():
    gate = Gate()
    worker = LatestWorker(gate.handle, gate.drop)
    worker.submit('camera', 0)
    gate.wait_until_started()
    worker.submit('camera', 1)
    threading.Timer(0.1, gate.permit).start()
    worker.stop()
    assert gate.handled == [[0]]
    assert not [thread for thread in threading.enumerate() if thread.name == 'perception worker']


def test_submit_does_not_wait_for_the_handler():
    gate = Gate()
    worker = LatestWorker(gate.handle, gate.drop)
    submitter = threading.Thread(target=lambda: [worker.submit('camera', job) for job in range(1000)])
    submitter.start()
    submitter.join(10)
    assert not submitter.is_alive()
    assert len(gate.dropped) >= 998
    gate.permit(2)
    worker.stop()


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
    worker.stop()
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
    worker.stop()
    assert gate.handled == [['f0'], ['r0', 'f2']]
    assert gate.dropped == ['f1']

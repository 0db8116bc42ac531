# SPDX-License-Identifier: Apache-2.0
"""The listener as a process, over DDS."""

import signal
import time

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from graph import Feeder, node_process, observing
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mtperception.ros.listener import MAX_INCOMPLETE, TOPICS, Arrivals


class Answering(Feeder):
    """Publishes maps to the listener, and knows how many answers it has complete."""

    def send(self, topic, stamp_ns):
        sec, nanosec = divmod(stamp_ns, 10**9)
        self.publish(topic, Image(header=Header(stamp=Time(sec=sec, nanosec=nanosec))))

    def until_complete(self, count):
        assert self.until_counted(count) == ('/listener: frames', 'complete')


@pytest.fixture
def answering():
    with observing() as observer:
        yield Answering(observer, TOPICS)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_answer_is_complete_with_its_last_map(number, tmp_path, answering):
    """The first answer lacks a map until the second is complete: 0.3 s, which its latency shows."""
    out = tmp_path / 'answers.npy'
    with node_process('listener', out=str(out)) as listener:
        answering.connect()
        first = time.time_ns()
        answering.send(TOPICS[2], first)
        answering.send(TOPICS[0], first)
        time.sleep(0.3)
        second = time.time_ns()
        for topic in TOPICS:
            answering.send(topic, second)
        answering.until_complete(1)
        answering.send(TOPICS[1], first)
        answering.until_complete(2)
        assert listener.stop(number) == 0
        assert 'Traceback' not in listener.log
    ended = time.time_ns()
    answers = np.load(out)
    assert answers.dtype == np.int64
    assert answers[:, 0].tolist() == [second, first]
    assert second < answers[0, 1] < answers[1, 1] < ended
    assert answers[1, 1] - first > 0.3e9


def test_without_answers_the_file_is_empty(tmp_path, answering):
    out = tmp_path / 'answers.npy'
    with node_process('listener', out=str(out)) as listener:
        answering.until_complete(0)
        assert listener.stop() == 0
    assert np.load(out).shape == (0, 2)


def test_a_file_that_cannot_be_written_is_one_clear_line(tmp_path, answering):
    with node_process('listener', out=str(tmp_path / 'nowhere' / 'answers.npy')) as listener:
        answering.until_complete(0)
        assert listener.stop() == 1
        (line,) = listener.lines
    assert 'nowhere/answers.npy' in line


class TestArrivals:
    def test_the_last_map_completes_an_answer_in_any_order(self):
        arrivals = Arrivals('abc')
        added = [('a', 7), ('b', 8), ('c', 7), ('a', 8), ('b', 7), ('c', 8)]
        assert [arrivals.add(topic, stamp, at) for at, (topic, stamp) in enumerate(added, 100)] == [False] * 4 + [
            True
        ] * 2
        assert arrivals.complete == [(7, 104), (8, 105)]

    def test_the_same_map_twice_completes_nothing(self):
        arrivals = Arrivals('ab')
        assert not arrivals.add('a', 1, 10)
        assert not arrivals.add('a', 1, 11)
        assert arrivals.add('b', 1, 12)

    def test_answers_that_wait_in_vain_are_given_up_oldest_first(self):
        arrivals = Arrivals('ab')
        for stamp in range(MAX_INCOMPLETE + 1):
            arrivals.add('a', stamp, stamp)
        assert not arrivals.add('b', 0, 100)
        assert arrivals.add('b', MAX_INCOMPLETE, 101)

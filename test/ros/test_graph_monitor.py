# SPDX-License-Identifier: Apache-2.0
"""What a command learns from the graph."""

import threading
import time
from contextlib import contextmanager

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from graph import RELIABLE, observing
from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.node import Node

from mtperception.errors import LateError
from mtperception.ros import graph_monitor as module
from mtperception.ros.frame_counter import ACKNOWLEDGED
from mtperception.ros.graph_monitor import ACTIVATE, CONFIGURE, graph_monitor
from mtperception.ros.process import ros_context, spinning


@pytest.fixture
def monitor():
    """Of a command for which all is well, but which does not wait for ever."""
    deadline = time.monotonic() + 30

    def check():
        assert time.monotonic() < deadline, 'it would have waited for ever'

    with graph_monitor(check) as monitor:
        yield monitor


def publish(name, **values):
    """A status on /diagnostics, from another node, once somebody listens."""
    with observing() as other:
        publisher = other.node.create_publisher(DiagnosticArray, '/diagnostics', RELIABLE)
        other.spin_until(publisher.get_subscription_count)
        pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
        publisher.publish(DiagnosticArray(status=[DiagnosticStatus(name=name, values=pairs)]))
        publisher.wait_for_all_acked(ACKNOWLEDGED)


def test_counts_are_those_of_the_newest_report(monitor):
    assert monitor.count('/recorder: frames', 'recorded') == 0
    for count in ('3', '4'):
        publish('/recorder: frames', recorded=count)
    assert monitor.wait_until(lambda: monitor.count('/recorder: frames', 'recorded') == 4, timeout_s=10)
    assert monitor.reported('/recorder: frames')
    assert not monitor.reported('/recorder: frames', since=time.monotonic())


def test_latencies_by_stage(monitor):
    figures = {'total p50 [ms]': '12.50', 'total p99 [ms]': '20.00', 'total max [ms]': '21.00', 'dropped': '7'}
    publish('/perception: processing', **figures)
    assert monitor.wait_until(lambda: monitor.reported('/perception: processing'), timeout_s=10)
    assert monitor.latency_ms('/perception: processing') == {'total': {'p50': 12.5, 'p99': 20.0}}


def test_a_node_that_never_appears_is_an_error_that_says_what_to_look_at(monitor, monkeypatch):
    monkeypatch.setattr(module, 'APPEARS_WITHIN_S', 0.3)
    with pytest.raises(LateError, match=r'the node /mapping runs, but was not discovered .*loopback'):
        monitor.change_state('/mapping', CONFIGURE)


@contextmanager
def deaf_node(*states):
    """A node whose answers to change_state nobody gets, and that says of its state one after another, then the last."""
    states = list(states)

    def state(_, response):
        response.current_state.id = states.pop(0) if len(states) > 1 else states[0]
        return response

    with ros_context() as context, ros_context() as silent_context:
        silent = Node('silent', context=silent_context)
        silent.create_service(ChangeState, '/mapping/change_state', lambda _, response: response)  # never spun
        node = rclpy.create_node('mapping', context=context)
        node.create_service(GetState, '/mapping/get_state', state)
        with spinning(node, threading.Event()):
            yield
        silent.destroy_node()


@pytest.mark.parametrize(
    ('transition', 'states', 'success'),
    [
        (CONFIGURE, [State.PRIMARY_STATE_INACTIVE], True),
        (CONFIGURE, [State.PRIMARY_STATE_UNCONFIGURED], False),
        (ACTIVATE, [State.PRIMARY_STATE_INACTIVE, State.TRANSITION_STATE_ACTIVATING, State.PRIMARY_STATE_ACTIVE], True),
    ],
    ids=['succeeded', 'refused', 'took its time'],
)
def test_what_came_of_a_transition_whose_answer_is_lost(monitor, monkeypatch, transition, states, success):
    monkeypatch.setattr(module, 'ANSWER_S', 0.5)
    with deaf_node(*states):
        assert monitor.change_state('/mapping', transition) is success


def test_waiting_is_given_up_when_the_check_raises():
    def dead():
        raise OSError('the recorder ended')

    with graph_monitor(dead) as monitor, pytest.raises(OSError, match='the recorder ended'):
        monitor.wait_until(lambda: False)

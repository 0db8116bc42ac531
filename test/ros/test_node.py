# SPDX-License-Identifier: Apache-2.0
"""What managed nodes share: parameters, transitions, diagnostics and logs of each, with a node that is none of ours."""

import logging
import threading
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from graph import observing
from lifecycle_msgs.msg import Transition
from live import running_node
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_msgs.msg import String

from mtperception.errors import InputError
from mtperception.messages.parameter_table import ParameterSpec, ParameterTable
from mtperception.ros.node import ManagedNode
from mtperception.ros.perception_node import perception_node
from mtperception.ros.process import ros_process, spinning
from mtperception.ros.worker import LatestWorker

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)


@dataclass(frozen=True)
class LampSettings:
    color: str
    brightness: float
    rooms: tuple[str, ...]
    autostart: bool


LAMP = ParameterTable(
    (
        ParameterSpec('color', 'white', 'Of the light.', choices=('white', 'red'), live=True),
        ParameterSpec('brightness', 0.5, 'Of the light.', limits=(0, 1), live=True),
        ParameterSpec('rooms', ('hall',), 'Where it shines.'),
        ParameterSpec('autostart', False, 'Configure and activate by itself.', fixed=True),
    ),
    LampSettings,
)


FAULTS = {'attic': ZeroDivisionError, 'loft': RuntimeError, 'barn': ValueError}
"""By room, what the lamp itself does wrong there: not what was asked of it."""


class Lamp:
    """A component that says what it does to the core's log, in the executor's thread and in a worker's."""

    newest = None

    description = 'a lamp'

    def __init__(self, node, settings):
        if settings.rooms == ('cellar',):
            raise InputError('no lamp in\nthe cellar')
        if settings.rooms[0] in FAULTS:
            raise FAULTS[settings.rooms[0]]('a fault of the lamp')
        Lamp.newest = self
        self.settings = settings
        self._node = node
        self._publisher = node.create_lifecycle_publisher(String, 'light', 10)
        self._log = logging.getLogger('mtperception.lamp')
        self._log.info('screwed in')
        self.shines = threading.Event()
        self._worker = LatestWorker(self._shine, lambda job: None)

    def _shine(self, jobs):
        self._log.info('shines in a thread')
        self.shines.set()

    def check(self, settings):
        if settings.color == 'red' and settings.brightness > 0.9:
            raise InputError('too red')

    def apply(self, settings):
        self._log.info('shines %s', settings.color)
        self.settings = settings

    def activate(self):
        self._worker.submit('', 'on')

    def deactivate(self):
        self._worker.clear()

    def release(self):
        self._node.destroy_lifecycle_publisher(self._publisher)
        self._worker.end()

    def diagnostics(self):
        return DiagnosticArray(status=[DiagnosticStatus(name='lamp', message=self.settings.color)])


@contextmanager
def lamp(*parameters):
    """A node with a lamp, in this process."""
    with ros_process(['--ros-args', *(text for each in parameters for text in ('-p', each))]):
        node = ManagedNode('lamp', LAMP, Lamp)
        yield node
        node.destroy_node()


def lines(said, text):
    return [line for line in said.splitlines() if text in line]


def set_one(node, name, value):
    """Why a parameter was not set; empty if it was."""
    (result,) = node.set_parameters([Parameter(name, value=value)])
    return result.reason


def test_parameters_are_those_of_the_nodes_own_table():
    with lamp('color:=red') as node:
        assert not node.has_parameter('model')
        assert node.get_parameter('color').value == 'red'
        assert 'expected one of white, red' in set_one(node, 'color', 'green')
        assert node.trigger_configure() == SUCCESS
        assert set_one(node, 'brightness', 0.95) == 'too red'
        assert 'rooms is read on configure' in set_one(node, 'rooms', ['hall', 'bath'])
        assert set_one(node, 'color', 'white') == ''
        assert set_one(node, 'brightness', 0.95) == ''
        assert Lamp.newest.settings == LampSettings('white', 0.95, ('hall',), False)


def test_what_is_given_and_does_not_fit_is_one_line_until_it_is_set(capfd):
    with lamp('brightness:=7.0') as node:
        assert node.trigger_configure() == FAILURE
        assert set_one(node, 'brightness', 0.7) == ''
        assert node.trigger_configure() == SUCCESS
    (line,) = lines(capfd.readouterr().err, 'ERROR')
    assert 'expected float from 0 to 1' in line


def test_a_component_that_cannot_be_made_is_one_line_and_can_be_repaired(capfd):
    with lamp('rooms:=[cellar]') as node:
        assert node.trigger_configure() == FAILURE
        assert set_one(node, 'rooms', ['hall']) == ''
        assert node.trigger_configure() == SUCCESS
    (line,) = lines(capfd.readouterr().err, 'ERROR')
    assert line.endswith('cannot configure: no lamp in the cellar')


@pytest.mark.parametrize('room', FAULTS)
def test_a_transition_that_fails_for_no_foreseen_reason_says_where_and_can_be_tried_again(capfd, room):
    with lamp(f'rooms:=[{room}]') as node:
        assert node.trigger_configure() == ERROR
        assert set_one(node, 'rooms', ['hall']) == ''
        assert node.trigger_configure() == SUCCESS
    said = capfd.readouterr().err
    assert f'on_configure: {FAULTS[room].__name__}: a fault of the lamp' in said
    assert 'Traceback' in said
    assert lines(said, 'test_node.py')


def test_two_nodes_in_one_process_have_their_own_logs(capfd):
    """What the core logs for one, in its transitions, parameter changes and threads, the other does not say."""
    with lamp('device:=cpu', 'backend:=onnxruntime') as node:
        other = perception_node()
        assert other.trigger_configure() == SUCCESS
        for transition in (node.trigger_configure, node.trigger_activate):
            assert transition() == SUCCESS
        assert set_one(node, 'color', 'red') == ''
        assert Lamp.newest.shines.wait(10)
        other.destroy_node()
    said = capfd.readouterr().err
    for text in ('screwed in', 'shines red', 'shines in a thread'):
        (line,) = lines(said, text)
        assert '[lamp]' in line
    (line,) = lines(said, 'passed the self-test')
    assert '[perception]' in line


def test_what_belongs_to_no_node_in_particular_is_lost_to_none(capfd):
    with lamp():
        logging.getLogger('mtperception.somewhere').warning('a thread of a library speaks')
    assert len(lines(capfd.readouterr().err, '[lamp]: a thread of a library speaks')) == 1


def test_logging_is_as_before_once_the_nodes_are_gone(caplog):
    with lamp():
        pass
    logging.getLogger('mtperception.somewhere').warning('heard')
    assert 'heard' in caplog.text


def test_diagnostics_come_from_configure_to_cleanup():
    with observing() as observer, lamp() as node:
        reports = observer.collect(DiagnosticArray, '/diagnostics')
        with spinning(node, threading.Event()):
            observer.spin_for(1.5)
            assert not reports
            node.executor.create_task(node.trigger_configure)
            observer.spin_until(lambda: reports)
            node.executor.create_task(node.trigger_cleanup)
            observer.spin_for(1.5)
            reports.clear()
            observer.spin_for(1.5)
            assert not reports


IMPOSSIBLE = {
    'unconfigured': [Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP],
    'inactive': [Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_DEACTIVATE],
    'active': [Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_CLEANUP],
    'finalized': [Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN],
}
NEVER = [
    Transition.TRANSITION_CREATE,
    Transition.TRANSITION_DESTROY,
    Transition.TRANSITION_ON_CONFIGURE_SUCCESS,
    99,
    255,
]
LEADS_TO = {
    'inactive': Transition.TRANSITION_CONFIGURE,
    'active': Transition.TRANSITION_ACTIVATE,
    'finalized': Transition.TRANSITION_ACTIVE_SHUTDOWN,
}


def test_a_transition_that_the_state_does_not_have_is_refused_and_the_node_lives(tmp_path):
    with running_node(tmp_path, autostart=False) as (process, peer):
        for state, ids in IMPOSSIBLE.items():
            if state in LEADS_TO:
                assert peer.request_transition(LEADS_TO[state])
            for id_ in (*ids, *NEVER):
                assert not peer.request_transition(id_), (state, id_)
                assert peer.state() == state
        assert 'refused: transition 99 in state unconfigured, expected one of: 1 (configure)' in process.log
        assert process.stop() == 0


@pytest.mark.parametrize(('transition', 'state'), [('shutdown', 'finalized'), ('configure', 'inactive')])
def test_an_autostart_that_comes_too_late_does_nothing(transition, state):
    with lamp('autostart:=true') as node:
        assert getattr(node, f'trigger_{transition}')() == SUCCESS
        with observing() as observer, spinning(node, threading.Event()):
            observer.spin_for(0.5)
            assert observer.state_of('/lamp') == state

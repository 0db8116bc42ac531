# SPDX-License-Identifier: Apache-2.0
"""A node that is told to stop while its backend prepares for seconds: it answers at once, and what follows is right."""

import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest
from graph import TIMEOUT_S
from hooked_backend import HookedBackend
from live import Peer, active_node, pixels
from slow_perception_node import HEIGHT, SECONDS, WIDTH

from mtperception.backends.registry import BACKENDS
from mtperception.predictor import Predictor
from mtperception.ros.perception import open_predictor
from mtperception.ros.perception_node import perception_node
from mtperception.ros.process import ros_process, spinning
from mtperception.synthetic import SyntheticRoom

SLOW_NODE = Path(__file__).with_name('slow_perception_node.py')
PREPARING = f'preparing for images of {WIDTH}x{HEIGHT}'
AT_ONCE_S = SECONDS / 4
"""Far less than the preparation takes, and more than a busy machine needs."""


@pytest.fixture(scope='module')
def frame():
    return SyntheticRoom(WIDTH, HEIGHT, 55.0).frame(5.0)


@pytest.fixture(scope='module')
def expected(frame):
    return Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')(frame.image).labels + 1


@contextmanager
def preparing_node(folder, frame):
    """A node that has begun to prepare, and its peer."""
    with active_node(folder, program=SLOW_NODE) as (process, peer):
        peer.subscribe('semantic/image')
        peer.spin_until(lambda: (peer.send(frame.image) and peer.spin_for(0.2)) or PREPARING in process.log)
        yield process, peer


@contextmanager
def at_once():
    start = time.monotonic()
    yield
    assert time.monotonic() - start < AT_ONCE_S


def assert_answers(peer, frame, expected):
    (answer,) = peer.ask(frame.image, 'semantic/image')
    assert np.array_equal(pixels(answer), expected)


def test_parameters_and_deactivation_are_answered_while_it_prepares(tmp_path, frame, expected):
    with preparing_node(tmp_path, frame) as (process, peer):
        with at_once():
            assert peer.transition('deactivate')
        with at_once():
            assert peer.set(overlay_alpha=0.25) == ''
            assert peer.get('overlay_alpha') == 0.25
        with at_once():
            assert peer.transition('activate')
        assert_answers(peer, frame, expected)
        assert process.log.count(PREPARING) == 1, 'what was prepared while it was inactive is not prepared again'
        assert 'refused' not in process.log


def test_another_configuration_does_not_wait_for_the_one_before(tmp_path, frame, expected):
    """It has a backend of its own; the old one's end disturbs nobody."""
    with preparing_node(tmp_path, frame) as (process, peer):
        with at_once():
            assert peer.transition('deactivate')
            assert peer.transition('cleanup')
        assert peer.transition('configure')
        assert peer.transition('activate')
        other = SyntheticRoom(64, 48, 55.0).frame(5.0)
        assert_answers(peer, other, Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')(other.image).labels + 1)
        assert_answers(peer, frame, expected)
        assert process.log.count(PREPARING) == 2
        assert 'refused' not in process.log


def test_a_signal_while_it_prepares_ends_it_in_order(tmp_path, frame):
    with preparing_node(tmp_path, frame) as (process, _):
        assert process.stop() == 0
        assert 'Traceback' not in process.log


def test_memory_is_released_when_the_preparation_is_over(monkeypatch, frame):
    predictors = []
    begun, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    def opened(settings):
        predictors.append(open_predictor(settings))
        return predictors[-1]

    def wait(batch, height, width):
        if (width, height) == (WIDTH, HEIGHT):
            begun.set()
            may_end.wait(TIMEOUT_S)
            ended.set()

    monkeypatch.setitem(BACKENDS, 'onnxruntime', lambda *place: HookedBackend(*place, wait))
    settings = ('autostart:=false', 'backend:=onnxruntime', 'device:=cpu', 'warm_up_iterations:=1')
    arguments = ['--ros-args', *(text for setting in settings for text in ('-p', setting))]
    with ros_process(arguments) as stop, closing(Peer('')) as peer, spinning(perception_node(opened), stop):
        assert peer.transition('configure')
        assert peer.transition('activate')
        (predictor,) = predictors
        peer.subscribe('semantic/image')
        peer.spin_until(lambda: (peer.send(frame.image) and peer.spin_for(0.2)) or begun.is_set())
        assert peer.transition('deactivate')
        assert peer.transition('cleanup')
        assert not ended.is_set(), 'no transition waits for the preparation'
        assert predictor.is_prepared(640, 480), 'it is in use'
        may_end.set()
        peer.spin_until(lambda: not predictor.is_prepared(640, 480), 'memory to be released')
        assert not predictor.is_prepared(WIDTH, HEIGHT)

"""One frame's life in the worker, where it goes wrong."""

import time

import numpy as np
import pytest
import rclpy
from rclpy.logging import get_logger
from std_msgs.msg import Header

from mtperception.predictor import Predictor
from mtperception.ros.conversions import rgb8_image
from mtperception.ros.frames import Frame, FrameProcessor
from mtperception.ros.monitor import Monitor


@pytest.fixture
def context():
    rclpy.init()
    yield
    rclpy.shutdown()


@pytest.fixture(scope='module')
def predictor():
    return Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')


def frame():
    return Frame(rgb8_image(np.zeros((48, 64, 3), np.uint8), Header()), None, time.monotonic())


def test_a_failure_behind_the_model_is_counted_and_does_not_end_the_worker(context, predictor):
    def publish(products, header):
        raise RuntimeError('the network cable is out')

    monitor = Monitor()
    processor = FrameProcessor(predictor, publish, lambda: None, monitor, get_logger('test'))
    processor.handle(frame())
    assert monitor.refusals.counts == {'failure': 1}
    assert monitor.refusals.last_reason == 'RuntimeError: the network cable is out'
    assert monitor.answered.count == 0


def test_a_new_size_is_prepared_and_kept_out_of_the_latency(context, predictor):
    published = []

    def publish(products, header):
        published.append(products)

    monitor = Monitor()
    processor = FrameProcessor(predictor, publish, lambda: None, monitor, get_logger('test'))
    size = np.zeros((50, 66, 3), np.uint8)
    for _ in range(2):
        processor.handle(Frame(rgb8_image(size, Header()), None, time.monotonic()))
    assert (len(published), monitor.answered.count) == (2, 2)
    summary = monitor.ledger.summary()
    assert summary['total'][0] >= summary['inference'][0] + summary['convert'][0] + summary['publish'][0] - 1e-6
    assert len(monitor.ledger._frames) == 1

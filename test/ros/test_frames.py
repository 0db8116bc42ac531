"""Frames in the worker: which run together, and where it goes wrong."""

import time
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
import rclpy
from builtin_interfaces.msg import Time
from rclpy.lifecycle import LifecycleNode
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mtperception.predictor import Predictor
from mtperception.ros import frames
from mtperception.ros.camera import Camera
from mtperception.ros.conversions import rgb8_image
from mtperception.ros.frames import Frame, FrameProcessor
from mtperception.ros.qos import QosWarnings
from mtperception.types import Prediction


class Rig:
    """Cameras of a real node whose publishers write down what they are to publish."""

    def __init__(self, node, predictor, names):
        warnings = QosWarnings(node.get_logger())
        self.cameras = {name: Camera(node, name, predictor.card.tasks, warnings) for name in names}
        self.processor = FrameProcessor(predictor, lambda: None, node.get_logger())
        self.published = defaultdict(list)
        for name, camera in self.cameras.items():
            camera.publishers.publish = lambda products, header, name=name: self.published[name].append(
                (products.prediction, header.frame_id)
            )

    def frame(self, name, width, height, seed=0):
        image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        return Frame(self.cameras[name], rgb8_image(image, Header(frame_id=name)), None, time.monotonic()), image


@pytest.fixture
def node():
    rclpy.init()
    node = LifecycleNode('rig')
    yield node
    node.destroy_node()
    rclpy.shutdown()


@pytest.fixture
def predictor():
    predictor = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu', network_size=(64, 48), max_batch=4)
    yield predictor
    predictor.close()


@pytest.fixture
def batches(predictor, monkeypatch):
    """The shapes that the real backend is given, apart from preparations."""
    shapes = []
    run = predictor.backend.run_timed
    monkeypatch.setattr(predictor.backend, 'run_timed', lambda images: shapes.append(images.shape[:3]) or run(images))
    return shapes


def test_frames_that_the_network_sees_at_one_size_run_together(node, predictor, batches):
    rig = Rig(node, predictor, ['a', 'b', 'c', 'd'])
    # 128x96 is reduced to 64x48, which the others have; 60x48 keeps its aspect and runs by itself.
    sent = [rig.frame('a', 64, 48, 1), rig.frame('b', 60, 48, 2), rig.frame('c', 128, 96, 3), rig.frame('d', 64, 48, 4)]
    rig.processor.handle([frame for frame, _ in sent])
    assert sorted(batches) == [(1, 48, 60), (1, 48, 64), (2, 48, 64)], 'a batch of three is one of two and one'
    for frame, image in sent:
        ((prediction, frame_id),) = rig.published[frame.camera.name]
        assert frame_id == frame.camera.name
        alone = predictor(image)
        assert np.array_equal(prediction.labels, alone.labels)
        assert np.allclose(prediction.depth, alone.depth, rtol=1e-4)


def test_a_frame_that_is_refused_takes_no_other_along(node, predictor, batches):
    rig = Rig(node, predictor, ['good', 'bad'])
    (good, _), (bad, _) = rig.frame('good', 64, 48), rig.frame('bad', 64, 48)
    bad.message.step = 7
    rig.processor.handle([bad, good])
    assert rig.cameras['bad'].monitor.refusals.counts == {'step': 1}
    assert not rig.cameras['good'].monitor.refusals.counts
    assert rig.cameras['good'].monitor.answered.count == len(rig.published['good']) == 1
    assert batches == [(1, 48, 64)]


def test_a_failure_behind_the_model_is_counted_and_does_not_end_the_worker(node, predictor):
    rig = Rig(node, predictor, ['fine', 'torn'])

    def publish(products, header):
        raise RuntimeError('the network cable is out')

    rig.cameras['torn'].publishers.publish = publish
    rig.processor.handle([rig.frame('torn', 64, 48)[0], rig.frame('fine', 64, 48)[0]])
    monitor = rig.cameras['torn'].monitor
    assert monitor.refusals.counts == {'failure': 1}
    assert monitor.refusals.last_reason == 'RuntimeError: the network cable is out'
    assert monitor.answered.count == 0
    assert rig.cameras['fine'].monitor.answered.count == 1


def test_a_failure_of_the_model_is_counted_with_all_it_concerns(node, predictor, monkeypatch):
    rig = Rig(node, predictor, ['a', 'b'])

    def run(images):
        raise RuntimeError('out of memory')

    monkeypatch.setattr(predictor.backend, 'run_timed', run)
    rig.processor.handle([rig.frame('a', 64, 48)[0], rig.frame('b', 64, 48)[0]])
    assert [camera.monitor.refusals.counts for camera in rig.cameras.values()] == [{'failure': 1}] * 2
    assert not rig.published


def fail_beyond(predictor, monkeypatch, largest):
    """Let the backend be out of memory for larger batches; the batches that it is prepared for."""
    tried = []
    compile_ = predictor.backend._compile

    def compile_if_small(batch, height, width):
        tried.append(batch)
        if batch > largest:
            raise MemoryError('too many images')
        return compile_(batch, height, width)

    monkeypatch.setattr(predictor.backend, '_compile', compile_if_small)
    return tried


def test_where_a_batch_cannot_be_prepared_smaller_ones_answer_all(node, predictor, batches, monkeypatch):
    rig = Rig(node, predictor, ['a', 'b', 'c', 'd'])
    tried = fail_beyond(predictor, monkeypatch, 2)
    for _ in range(2):
        rig.processor.handle([rig.frame(name, 64, 48)[0] for name in rig.cameras])
    assert batches == [(2, 48, 64)] * 4
    assert tried == [1, 2, 4], 'what failed is not tried again with each frame'
    assert [camera.monitor.answered.count for camera in rig.cameras.values()] == [2] * 4
    assert not any(camera.monitor.refusals.counts for camera in rig.cameras.values())


def test_a_size_that_cannot_be_prepared_is_refused_for_its_camera_alone(node, predictor, monkeypatch):
    rig = Rig(node, predictor, ['known', 'new'])
    rig.processor.handle([rig.frame('known', 64, 48)[0]])
    fail_beyond(predictor, monkeypatch, 0)
    rig.processor.handle([rig.frame('new', 32, 24)[0], rig.frame('known', 64, 48)[0]])
    assert rig.cameras['known'].monitor.answered.count == 2
    assert rig.cameras['new'].monitor.refusals.counts == {'failure': 1}
    assert 'cannot be prepared for 1 x 32x24' in rig.cameras['new'].monitor.refusals.last_reason
    assert not rig.processor.preparing


def test_a_size_that_could_not_be_prepared_is_tried_again_after_a_while(node, predictor, monkeypatch):
    rig = Rig(node, predictor, ['new'])
    monitor = rig.cameras['new'].monitor
    with monkeypatch.context() as short_of_memory:
        tried = fail_beyond(predictor, short_of_memory, 0)
        for _ in range(3):
            rig.processor.handle([rig.frame('new', 32, 24)[0]])
        assert tried == [1], 'a preparation may take minutes, in which no camera is answered'
        assert monitor.refusals.counts == {'failure': 3}
        assert 'cannot be prepared for 1 x 32x24' in monitor.refusals.last_reason
    rig.processor.handle([rig.frame('new', 32, 24)[0]])
    assert monitor.answered.count == 0
    monkeypatch.setattr(frames, 'RETRY_AFTER_S', 0.0)
    rig.processor.handle([rig.frame('new', 32, 24)[0]])
    assert monitor.answered.count == 1


def test_a_new_size_is_prepared_and_kept_out_of_the_latency(node, predictor):
    rig = Rig(node, predictor, [''])
    monitor = rig.cameras[''].monitor
    for _ in range(2):
        rig.processor.handle([rig.frame('', 62, 46)[0]])
    assert (len(rig.published['']), monitor.answered.count) == (2, 2)
    summary = monitor.ledger.summary()
    assert summary['total'][0] >= summary['inference'][0] + summary['convert'][0] + summary['publish'][0] - 1e-6
    (stages,) = monitor.ledger._frames
    assert stages['overhead'] == pytest.approx(stages['total'] - stages['inference'])


def test_what_waits_for_the_preparation_of_another_size_is_kept_out_of_the_latency_too(node, predictor):
    rig = Rig(node, predictor, ['new', 'known'])
    for _ in range(2):
        rig.processor.handle([rig.frame('known', 64, 48)[0]])
    late = rig.frame('known', 64, 48)[0]
    rig.processor.handle([rig.frame('new', 62, 46)[0]])
    rig.processor.handle([late])
    rig.processor.handle([rig.frame('new', 30, 24)[0], rig.frame('known', 64, 48)[0]])
    monitor = rig.cameras['known'].monitor
    assert monitor.answered.count == 4
    assert len(monitor.ledger._frames) == 1, 'of four, one made the node prepare and two waited'


def test_a_size_in_use_stays_prepared_while_another_camera_changes_its_own(node, predictor):
    """Its larger batches are not run meanwhile, and must not be dropped for that."""
    rig = Rig(node, predictor, ['steady', 'changing'])
    for width in range(20, 34, 2):  # more sizes than stay prepared
        rig.processor.handle([rig.frame('steady', 64, 48)[0], rig.frame('changing', width, 24)[0]])
        assert predictor.is_prepared(64, 48)
        assert predictor.is_prepared(width, 24)


def test_all_batch_sizes_are_prepared_with_a_size(node, predictor):
    """Else the moment when two cameras first meet would cost a compilation."""
    rig = Rig(node, predictor, ['a'])
    rig.processor.handle([rig.frame('a', 32, 24)[0]])
    assert [predictor.backend.is_prepared(batch, 24, 32) for batch in (1, 2, 3, 4)] == [True, True, False, True]


def test_the_stamp_of_a_frame_is_in_nanoseconds():
    message = Image(header=Header(stamp=Time(sec=12, nanosec=345678901)))
    assert Frame(None, message, None, 0.0).stamp_ns == 12_345_678_901


def test_where_the_time_of_a_frame_goes(node, predictor):
    """Of a backend that says 9 ms, in a predictor that takes 20, before a publisher that takes 10."""
    rig = Rig(node, predictor, [''])

    def predict(images, intrinsics):
        time.sleep(0.02)
        said = {'resize': 1.0, 'upload': 2.0, 'inference': 3.0, 'download': 4.0}
        return [Prediction(labels=np.zeros((2, 2), np.uint8), latency_ms=said)]

    stub = SimpleNamespace(
        predict=predict, batches=lambda sizes: [[0]], is_prepared=lambda *size: True, prepare=lambda *size: None
    )
    rig.cameras[''].publishers.publish = lambda products, header: time.sleep(0.01)
    FrameProcessor(stub, lambda: None, node.get_logger()).handle([rig.frame('', 64, 48)[0]])
    (stages,) = rig.cameras[''].monitor.ledger._frames
    assert stages['overhead'] == pytest.approx(stages['total'] - 9)
    assert stages['convert'] >= 20 - 9
    assert stages['publish'] >= 10
    assert stages['convert'] + 9 + stages['publish'] <= stages['total']


def test_a_preparation_is_said_while_it_lasts(node, predictor, monkeypatch):
    rig = Rig(node, predictor, [''])
    said = []
    prepare = predictor.prepare
    monkeypatch.setattr(predictor, 'prepare', lambda *size: said.append(rig.processor.preparing) or prepare(*size))
    for _ in range(2):
        rig.processor.handle([rig.frame('', 62, 46)[0]])
    assert said == [True, False]
    assert not rig.processor.preparing

# SPDX-License-Identifier: Apache-2.0
"""Frames in the worker: which run together, and where it goes wrong."""

import array
import threading
import time
from collections import defaultdict
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hooked_backend import HookedBackend, nothing
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from mtperception.card import open_model
from mtperception.predictor import BackendPredictor
from mtperception.ros import preparation
from mtperception.ros.camera import Camera
from mtperception.ros.conversions import rgb8_image
from mtperception.ros.frames import MEETINGS, FrameProcessor, ReceivedImage
from mtperception.ros.qos import QosWarnings
from mtperception.ros.worker import LatestWorker
from mtperception.types import Prediction


class Rig:
    """Cameras of a real node whose publishers write down what they are to publish."""

    def __init__(self, node, predictor, names):
        warnings = QosWarnings(node.get_logger())
        self.cameras = {name: Camera(node, name, predictor.card.tasks, warnings) for name in names}
        self.processor = FrameProcessor(predictor, lambda: None, node.get_logger())
        self.processor.resume = lambda camera, frame: self.processor.handle([frame])
        self.published = defaultdict(list)
        for name, camera in self.cameras.items():
            camera.publishers.publish = partial(self._publish, name)

    def _publish(self, name, products, header):
        self.published[name].append((products.prediction, header.frame_id))
        return True

    def frame(self, name, width, height, seed=0):
        image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
        return ReceivedImage(
            self.cameras[name], rgb8_image(image, Header(frame_id=name)), None, time.monotonic()
        ), image

    def answer(self, *frames):
        """Handle frames, and those that wait for a preparation when it is over."""
        self.processor.handle(frames)
        wait_until(lambda: not any(self.processor.is_preparing(camera) for camera in self.cameras.values()))
        wait_until(lambda: not preparations())


def preparations():
    return [thread for thread in threading.enumerate() if thread.name == 'perception preparation']


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture
def predictor():
    model = open_model('nyuv2_indoor')
    backend = HookedBackend(model)
    predictor = BackendPredictor(model.card, model.label_space, backend, network_size=(64, 48), max_batch=4)
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
    predictor.max_batch = 4
    for size, batch in [((64, 48), 1), ((64, 48), 2), ((60, 48), 1)]:
        predictor.prepare(*size, batch)
    rig.answer(*(frame for frame, _ in sent))
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
    rig.answer(bad, good)
    assert rig.cameras['bad'].monitor.refusals.counts == {'step': 1}
    assert not rig.cameras['good'].monitor.refusals.counts
    assert rig.cameras['good'].monitor.answered.count == len(rig.published['good']) == 1
    assert batches == [(1, 48, 64)]


def test_a_failure_behind_the_model_is_counted_and_does_not_end_the_worker(node, predictor):
    rig = Rig(node, predictor, ['fine', 'torn'])

    def publish(products, header):
        raise RuntimeError('the network cable is out')

    rig.cameras['torn'].publishers.publish = publish
    rig.answer(rig.frame('torn', 64, 48)[0], rig.frame('fine', 64, 48)[0])
    monitor = rig.cameras['torn'].monitor
    assert monitor.refusals.counts == {'failure': 1}
    assert monitor.refusals.last_reason == 'RuntimeError: the network cable is out'
    assert monitor.answered.count == 0
    assert rig.cameras['fine'].monitor.answered.count == 1


def test_a_frame_of_which_nothing_is_published_is_not_answered(node, predictor):
    """Only points are subscribed to, and no camera_info comes: the diagnostics must not say that all is well."""
    rig = Rig(node, predictor, [''])
    monitor, publishers = rig.cameras[''].monitor, rig.cameras[''].publishers
    publishers.publish, publishers.has_subscribers = (lambda products, header: False), (lambda: True)
    monitor.accept()
    rig.answer(rig.frame('', 64, 48)[0])
    assert monitor.answered.count == 0
    assert monitor.ledger.summary() == {}
    assert monitor.is_waiting
    publishers.has_subscribers = lambda: False  # the last one has left meanwhile
    rig.answer(rig.frame('', 64, 48)[0])
    assert not monitor.is_waiting


def test_a_failure_of_the_model_is_counted_with_all_it_concerns(node, predictor, monkeypatch):
    rig = Rig(node, predictor, ['a', 'b'])

    def run(images):
        raise RuntimeError('out of memory')

    monkeypatch.setattr(predictor.backend, 'run_timed', run)
    rig.answer(rig.frame('a', 64, 48)[0], rig.frame('b', 64, 48)[0])
    assert [camera.monitor.refusals.counts for camera in rig.cameras.values()] == [{'failure': 1}] * 2
    assert not rig.published


def fail_beyond(predictor, largest):
    """Let the backend be out of memory for larger batches; the batches that it is prepared for."""
    tried = []

    def fail(batch, height, width):
        tried.append(batch)
        if batch > largest:
            raise MemoryError('too many images')

    predictor.backend.before = fail
    return tried


def test_batches_are_prepared_where_cameras_often_come_together_and_a_batch_pays(node, predictor, batches):
    rig = Rig(node, predictor, ['a', 'b', 'c'])
    for max_batch, expected in ((1, [1, 1, 1]), (3, [3])):
        predictor.max_batch = max_batch  # 1: on a CPU, where a batch takes as long as its images one by one
        predictor.prepare(64, 48)
        for _ in range(MEETINGS):
            rig.answer(*(rig.frame(name, 64, 48)[0] for name in rig.cameras))
        assert [shape[0] for shape in batches] == [1, 1, 1] * MEETINGS
        batches.clear()
        rig.answer(*(rig.frame(name, 64, 48)[0] for name in rig.cameras))
        assert [shape[0] for shape in batches] == expected
        batches.clear()
    assert not any(camera.monitor.refusals.counts for camera in rig.cameras.values())


def test_where_a_batch_cannot_be_prepared_single_images_are_answered(node, predictor, batches, monkeypatch):
    rig = Rig(node, predictor, ['a', 'b'])
    predictor.max_batch = 2
    tried = fail_beyond(predictor, 1)
    predictor.prepare(64, 48)
    for _ in range(3 * MEETINGS):
        rig.answer(*(rig.frame(name, 64, 48)[0] for name in rig.cameras))
    assert batches == [(1, 48, 64)] * (6 * MEETINGS)
    assert tried == [1, 2], 'what failed is not tried again with each frame'
    monkeypatch.setattr(preparation, 'AGAIN_AFTER_S', 0.0)
    for _ in range(MEETINGS):
        rig.answer(*(rig.frame(name, 64, 48)[0] for name in rig.cameras))
    assert tried == [1, 2, 2], 'but after a while'
    assert not any(camera.monitor.refusals.counts for camera in rig.cameras.values())


def test_a_size_that_cannot_be_prepared_is_refused_for_its_camera_alone(node, predictor):
    rig = Rig(node, predictor, ['known', 'new'])
    rig.answer(rig.frame('known', 64, 48)[0])
    fail_beyond(predictor, 0)
    rig.answer(rig.frame('new', 32, 24)[0], rig.frame('known', 64, 48)[0])
    assert rig.cameras['known'].monitor.answered.count == 2
    assert rig.cameras['new'].monitor.refusals.counts == {'failure': 1}
    assert 'cannot be prepared for 1 x 32x24' in rig.cameras['new'].monitor.refusals.last_reason


def test_a_size_that_could_not_be_prepared_is_tried_again_after_a_while(node, predictor, monkeypatch):
    rig = Rig(node, predictor, ['new'])
    monitor = rig.cameras['new'].monitor
    tried = fail_beyond(predictor, 0)
    for _ in range(3):
        rig.answer(rig.frame('new', 32, 24)[0])
    assert tried == [1], 'a preparation takes all cores, for minutes with some libraries'
    assert monitor.refusals.counts == {'failure': 3}
    assert 'cannot be prepared for 1 x 32x24' in monitor.refusals.last_reason
    predictor.backend.before = nothing
    rig.answer(rig.frame('new', 32, 24)[0])
    assert monitor.answered.count == 0
    monkeypatch.setattr(preparation, 'AGAIN_AFTER_S', 0.0)
    rig.answer(rig.frame('new', 32, 24)[0])
    assert monitor.answered.count == 1


class Held:
    """Lets the backend's compilations of one size wait."""

    def __init__(self, predictor, size):
        self.started, self._permit = threading.Event(), threading.Event()

        def wait(batch, height, width):
            if (width, height) == size:
                self.started.set()
                assert self._permit.wait(60)

        predictor.backend.before = wait

    def let_go(self):
        self._permit.set()
        wait_until(lambda: not preparations())


def test_prepared_cameras_are_answered_while_another_waits_for_its_size(node, predictor):
    rig = Rig(node, predictor, ['known', 'new'])
    known, new = (rig.cameras[name].monitor for name in ('known', 'new'))
    predictor.prepare(64, 48)
    held = Held(predictor, (32, 24))
    for seed in range(3):
        rig.processor.handle([rig.frame('new', 32, 24, seed)[0], rig.frame('known', 64, 48)[0]])
        assert held.started.wait(60)
    newest = rig.frame('new', 32, 24, 2)[1]
    assert known.answered.count == 3
    assert rig.processor.is_preparing(rig.cameras['new'])
    assert not rig.processor.is_preparing(rig.cameras['known'])
    assert (new.answered.count, new.dropped) == (0, 2), 'of the frames that wait, the newest stays'
    held.let_go()
    ((prediction, _),) = rig.published['new']
    assert np.array_equal(prediction.labels, predictor(newest).labels)
    assert not rig.processor.is_preparing(rig.cameras['new'])
    assert known.ledger.summary()
    assert not new.ledger.summary(), 'the wait for a preparation is kept out of the latency'
    rig.answer(rig.frame('new', 32, 24)[0])
    assert new.ledger.summary()


def test_what_waits_is_forgotten_on_deactivation(node, predictor):
    rig = Rig(node, predictor, ['new'])
    held = Held(predictor, (32, 24))
    rig.processor.handle([rig.frame('new', 32, 24)[0]])
    assert held.started.wait(60)
    rig.processor.forget()
    held.let_go()
    assert not rig.published


def jpeg(camera, image):
    data = array.array('B', cv2.imencode('.jpg', image)[1].tobytes())
    return ReceivedImage(
        camera, CompressedImage(header=Header(frame_id=camera.name), data=data), None, time.monotonic()
    )


class SlowImage(CompressedImage):
    """An image whose bytes take as long to come as the test wants."""

    def __init__(self, message, started, go_on):
        super().__init__(header=message.header)
        self._bytes, self._started, self._go_on = message.data, started, go_on

    @property
    def data(self):
        self._started.set()
        assert self._go_on.wait(60)
        return self._bytes

    @data.setter
    def data(self, value):
        pass


def test_an_image_that_takes_long_to_decode_holds_up_its_own_camera_only(node, predictor):
    rig = Rig(node, predictor, ['slow', 'quick'])
    slow, quick = rig.cameras.values()
    predictor.prepare(64, 48)
    decoding, go_on = threading.Event(), threading.Event()

    def slow_jpeg():
        received = jpeg(slow, image)
        return replace(received, message=SlowImage(received.message, decoding, go_on))

    worker = LatestWorker(rig.processor.handle, lambda frame: frame.camera.monitor.drop())
    rig.processor.submit = worker.submit
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    try:
        rig.processor.decode_aside(slow_jpeg())
        assert decoding.wait(60)
        for count in range(1, 4):
            rig.processor.decode_aside(slow_jpeg())
            rig.processor.decode_aside(jpeg(quick, image))
            wait_until(lambda count=count: quick.monitor.answered.count == count)
        assert (slow.monitor.answered.count, slow.monitor.dropped) == (0, 2), 'of those that wait the newest stays'
        go_on.set()
        wait_until(lambda: slow.monitor.answered.count + slow.monitor.dropped == 4)
        assert slow.monitor.answered.count >= 1
        rig.processor.decode_aside(
            ReceivedImage(quick, CompressedImage(header=Header(frame_id='quick')), None, time.monotonic())
        )
        wait_until(lambda: quick.monitor.refusals.counts == {'data': 1})
    finally:
        go_on.set()
        rig.processor.close()
        worker.end()
    wait_until(lambda: not [each for each in threading.enumerate() if each.name == 'perception decoder'])


def test_a_camera_that_changes_its_size_while_it_waits(node, predictor):
    rig = Rig(node, predictor, ['new'])
    held = Held(predictor, (32, 24))
    rig.processor.handle([rig.frame('new', 32, 24)[0]])
    assert held.started.wait(60)
    rig.processor.handle([rig.frame('new', 40, 24)[0]])
    held.let_go()
    ((prediction, _),) = rig.published['new']
    assert prediction.shape == (24, 40)


def test_a_size_in_use_stays_prepared_while_another_camera_changes_its_own(node, predictor):
    rig = Rig(node, predictor, ['steady', 'changing'])
    for width in range(20, 34, 2):  # more sizes than stay prepared
        rig.answer(rig.frame('steady', 64, 48)[0], rig.frame('changing', width, 24)[0])
        assert predictor.is_prepared(64, 48)
        assert predictor.is_prepared(width, 24)


def test_more_sizes_than_the_budget_holds_are_not_prepared_in_turns(node, predictor):
    """Which would take all cores for ever: the size that was dropped waits, and its camera says why."""
    rig = Rig(node, predictor, ['a', 'b'])
    predictor.backend.memory_budget = 0  # the newest always stays
    rig.answer(rig.frame('a', 64, 48)[0])
    rig.answer(rig.frame('b', 32, 24)[0])
    for _ in range(3):
        rig.answer(rig.frame('a', 64, 48)[0], rig.frame('b', 32, 24)[0])
    assert rig.cameras['b'].monitor.answered.count == 4
    assert rig.cameras['a'].monitor.answered.count == 1
    reason = rig.cameras['a'].monitor.refusals.last_reason
    assert f'({predictor.backend.max_prepared}, or fewer if memory_budget allows no more)' in reason


def test_where_the_time_of_a_frame_goes(node, predictor):
    """Of a backend that says 9 ms, in a predictor that takes 20, before a publisher that takes 10."""
    rig = Rig(node, predictor, [''])

    def predict(images, intrinsics):
        time.sleep(0.02)
        said = {'resize': 1.0, 'upload': 2.0, 'inference': 3.0, 'download': 4.0}
        return [Prediction(labels=np.zeros((2, 2), np.uint8), latency_ms=said)]

    stub = SimpleNamespace(
        predict=predict,
        batches=lambda sizes: [[0]],
        is_prepared=lambda *size: True,
        max_batch=1,
        backend=predictor.backend,
    )
    rig.cameras[''].publishers.publish = lambda products, header: time.sleep(0.01) is None
    FrameProcessor(stub, lambda: None, node.get_logger()).handle([rig.frame('', 64, 48)[0]])
    stages = {stage: median for stage, (median, *_) in rig.cameras[''].monitor.ledger.summary().items()}
    assert stages['overhead'] == pytest.approx(stages['total'] - 9)
    assert stages['convert'] >= 20 - 9
    assert stages['publish'] >= 10
    assert stages['convert'] + 9 + stages['publish'] <= stages['total']

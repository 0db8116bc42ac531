# SPDX-License-Identifier: Apache-2.0
"""Figures of a run with the node, by hand; the run itself is in test_replay_live.py."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from bags import STORE, header

from mtperception.card import open_model
from mtperception.messages.image_encoding import depth_image_32fc1, mono8_image
from mtperception.recording.recording import RecordedFrame
from mtperception.replay.live_answers import Answers, LiveComparison, LiveRun, mean_rate
from mtperception.replay.out_bag import bag_message
from mtperception.types import Prediction

TOPICS = ('depth/image', 'semantic/image')
MODEL = open_model('nyuv2_indoor')
DEPTH = np.full((2, 5), 1.5, np.float32)
LABELS = np.arange(10, dtype=np.uint8).reshape(2, 5)
CONFIDENCE = np.full((2, 5), 200, np.uint8)


def add(answers, topic, message, stamp_ns, arrived):
    data = bytes(STORE.serialize_cdr(bag_message(STORE, message, header(stamp_ns)), message.kind))
    answers.add(topic, data, arrived)


def answer(answers, stamp_ns, arrived, depth=DEPTH, labels=LABELS):
    """Depth comes first, the ids ten milliseconds later."""
    add(answers, 'depth/image', depth_image_32fc1(depth), stamp_ns, arrived - 0.01)
    add(answers, 'semantic/image', mono8_image(labels + np.uint8(1)), stamp_ns, arrived)


@pytest.fixture
def answers(tmp_path):
    return Answers(tmp_path, TOPICS)


def run(published, answers):
    return LiveRun(published, answers, {'backend': 'torch', 'device': 'cpu', 'precision': 'fp32'})


def test_frames_rates_and_latency(answers):
    answer(answers, 7, 9.5)  # an image that tried the node out: never counted
    answer(answers, 100, 10.3)
    answer(answers, 300, 11.5)
    add(answers, 'depth/image', depth_image_32fc1(DEPTH), 400, 12.0)  # only half an answer
    summary = run({100: 10.0, 200: 10.5, 300: 11.0, 400: 11.5}, answers).summary()
    assert (summary['frames_in'], summary['frames_out'], summary['dropped']) == (4, 2, 2)
    assert summary['input_rate'] == pytest.approx(2.0)  # 3 intervals in 1.5 s
    assert summary['output_rate'] == pytest.approx(1 / 1.2)  # from 10.3 s to 11.5 s
    # Delays of 300 and 500 ms: the median lies between, and p99 at 99 % of the way from the first to the second.
    assert summary['latency_ms']['end_to_end'] == pytest.approx({'p50': 400.0, 'p99': 498.0})
    assert summary['backend'] == 'torch'


def test_nothing_answered_is_no_figure(answers):
    summary = run({100: 10.0}, answers).summary()
    assert (summary['frames_in'], summary['frames_out'], summary['dropped']) == (1, 0, 1)
    assert (summary['input_rate'], summary['output_rate']) == (None, None)
    assert summary['latency_ms']['end_to_end'] == {'p50': None, 'p99': None}


def test_rate():
    assert mean_rate([1.0, 1.5, 3.0]) == 1.0
    assert mean_rate([1.0]) is None


def compared(answers, stamps):
    """The difference of what was answered from a prediction that is the same for every frame."""
    predictor = SimpleNamespace(card=MODEL.card, label_space=MODEL.label_space)
    comparison = LiveComparison(run(dict.fromkeys(stamps, 0.0), answers), predictor)
    image = np.zeros((2, 5, 3), np.uint8)
    for index, stamp_ns in enumerate(stamps):
        frame = RecordedFrame(image, stamp_ns, None, '0', index=index, received_ns=stamp_ns, header=header(stamp_ns))
        comparison.add(frame, Prediction(LABELS, CONFIDENCE, DEPTH))
    return comparison.result()


def test_equal_answers_have_no_difference(answers):
    answer(answers, 100, 1.0)
    answer(answers, 200, 2.0)
    assert compared(answers, [100, 200, 300]) == {'frames': 2, 'equal_frames': 2, 'labels': 0.0, 'depth': 0.0}


def test_the_largest_difference_of_a_frame_is_found(answers):
    depth, labels = DEPTH.copy(), LABELS.copy()
    depth[0, 3] = 1.25
    labels[1, :3] = 39
    answer(answers, 100, 1.0, depth=depth)  # 0.25 m
    answer(answers, 200, 2.0, labels=labels)  # 3 of 10 pixels
    answer(answers, 300, 3.0)
    assert compared(answers, [100, 200, 300]) == {'frames': 3, 'equal_frames': 1, 'labels': 0.3, 'depth': 0.25}

# SPDX-License-Identifier: Apache-2.0
"""What is said of an image topic, for each kind of fault of a driver."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mtperception.card import ModelCard, TrainingCamera
from mtperception.doctor.stream import Observed, judge
from mtperception.messages.camera_info import camera_info
from mtperception.messages.message import COMPRESSED_IMAGE, IMAGE
from mtperception.messages.stamps import stamp_of
from mtperception.types import Intrinsics

START_NS = 1_700_000_000_000_000_000
CARD = ModelCard('any', 'joint_lw_refinenet', 0, ('depth',), '', (0, 0), (0.3, 10.0), TrainingCamera(300.0, 480, 360))


def header(stamp_ns, frame_id='camera'):
    return SimpleNamespace(stamp=SimpleNamespace(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9), frame_id=frame_id)


def image(stamp_ns, encoding='rgb8', frame_id='camera'):
    data = np.zeros(64 * 48 * 3, np.uint8)
    return SimpleNamespace(
        header=header(stamp_ns, frame_id), encoding=encoding, width=64, height=48, step=192, data=data, is_bigendian=0
    )


def info(fx=80.0, distortion=()):
    fields = dict(camera_info(Intrinsics(fx, fx, 31.5, 23.5, 64, 48)).fields)
    fields['roi'] = SimpleNamespace(**fields['roi'].fields)
    return SimpleNamespace(**{**fields, 'd': distortion or fields['d']})


def observed(images, delay_ns=20_000_000, gap_ns=100_000_000, **changes):
    arrivals = [START_NS + index * gap_ns + delay_ns for index in range(len(images))]
    seen = Observed(
        topic='/cam/image_raw',
        types=[IMAGE],
        publishers=['/driver publishes reliable'],
        arrivals_ns=arrivals,
        stamps_ns=[stamp_of(image) for image in images],
        image=images[-1] if images else None,
        info_topic='/cam/camera_info',
        info=info(),
    )
    return replace(seen, **changes)


def good():
    return [image(START_NS + index * 100_000_000) for index in range(5)]


def by_name(seen, frame_ms=20.0):
    return {finding.name: finding for finding in judge(seen, CARD, frame_ms)}


def test_a_healthy_camera():
    found = by_name(observed(good()))
    assert {finding.state for finding in found.values()} == {'ok'}
    assert found['rate'].values['rate'] == pytest.approx(10.0)
    assert found['stamps'].values['age_s'] == pytest.approx(0.02, abs=1e-6)
    # The network sees the small image as it is: fx is 80 there and 300 where the model learnt.
    assert found['camera_info'].values['depth_factor'] == pytest.approx(80 / 300)
    assert 'image:=/cam/image_raw' in found['launch'].found


def test_a_camera_that_is_too_fast_for_the_model():
    finding = by_name(observed(good()), frame_ms=250.0)['rate']
    assert (finding.state, 'about 4 of them' in finding.found) == ('note', True)


@pytest.mark.parametrize(
    ('stamps', 'delay_ns', 'frame_id', 'said'),
    [
        ([0, 0, 0], 0, 'camera', 'all 0'),
        ([START_NS + 2, START_NS + 1], 0, 'camera', 'runs backwards'),
        ([START_NS, START_NS], 0, 'camera', 'one stamp'),
        ([START_NS, START_NS + 1], 3600 * 10**9, 'camera', '3600 s old'),
        ([START_NS + 9 * 10**9, START_NS + 9 * 10**9 + 1], 0, 'camera', 'in the future'),
        ([START_NS, START_NS + 1], 0, '', 'no frame_id'),
    ],
)
def test_stamps_that_a_consumer_stumbles_over(stamps, delay_ns, frame_id, said):
    seen = observed([image(stamp, frame_id=frame_id) for stamp in stamps], delay_ns)
    finding = by_name(seen)['stamps']
    assert finding.state == 'warning'
    assert said in finding.found
    assert finding.advice


def test_an_encoding_that_the_node_refuses():
    finding = by_name(observed([image(START_NS, encoding='32FC1')]))['encoding']
    assert (finding.state, '32FC1' in finding.found) == ('problem', True)


def test_camera_info_that_is_missing_uncalibrated_or_distorted():
    assert 'none on /cam/camera_info' in by_name(observed(good(), info=None))['camera_info'].found
    uncalibrated = by_name(observed(good(), info=info(fx=0.0)))['camera_info']
    assert (uncalibrated.state, 'not scaled' in uncalibrated.found) == ('warning', True)
    distorted = by_name(observed(good(), info=info(distortion=(0.1, 0, 0, 0, 0))))['camera_info']
    assert (distorted.state, 'image_rect' in distorted.advice) == ('note', True)


def test_a_topic_that_is_silent_absent_or_of_another_type():
    assert by_name(observed([]))['rate'].state == 'problem'
    absent = by_name(Observed('/cam/image', image_topics=['/cam/image_raw']))['publishers']
    assert (absent.state, '/cam/image_raw' in absent.advice) == ('problem', True)
    other = by_name(observed(good(), types=['sensor_msgs/msg/PointCloud2']))['type']
    assert (other.state, 'PointCloud2' in other.found) == ('problem', True)


def test_compressed_images():
    import cv2

    data = cv2.imencode('.jpg', np.zeros((48, 64, 3), np.uint8))[1].ravel()
    message = SimpleNamespace(header=header(START_NS), format='rgb8; jpeg compressed bgr8', data=data)
    topic = '/cam/image_raw/compressed'
    found = by_name(observed([message], topic=topic, types=[COMPRESSED_IMAGE]))
    assert found['encoding'].values['width'] == 64
    assert 'image:=/cam/image_raw image_transport:=compressed' in found['launch'].found
    elsewhere = by_name(observed([message], topic='/cam/jpeg', types=[COMPRESSED_IMAGE]))['launch']
    assert (elsewhere.state, '/cam/jpeg/compressed' in elsewhere.advice) == ('warning', True)


def test_compressed_images_that_the_node_refuses():
    message = SimpleNamespace(header=header(START_NS), format='16UC1; compressedDepth', data=b'no image')
    found = by_name(observed([message], topic='/cam/depth/compressed', types=[COMPRESSED_IMAGE]))
    assert found['encoding'].state == 'problem'
    assert (found['camera_info'].state, 'refused' in found['camera_info'].found) == ('note', True)

# SPDX-License-Identifier: Apache-2.0
"""Bad input over DDS: refused, counted, said once, and the next good frame is answered."""

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from live import active_node
from malformed import camera_infos, images
from sensor_msgs.msg import CameraInfo, CompressedImage

from mtperception.ros.conversions import camera_info_from, rgb8_image
from mtperception.synthetic import SyntheticRoom

WIDTH, HEIGHT = 64, 48


@pytest.fixture(scope='module')
def frame():
    return SyntheticRoom(WIDTH, HEIGHT, 60.0).frame(5.0)


@pytest.fixture(scope='module')
def node(tmp_path_factory):
    with active_node(tmp_path_factory.mktemp('raw')) as (process, peer):
        peer.subscribe('semantic/image', 'depth/camera_info')
        yield process, peer


@pytest.fixture(scope='module')
def compressed_node(tmp_path_factory):
    with active_node(tmp_path_factory.mktemp('compressed'), image_transport='compressed') as (process, peer):
        peer.subscribe('semantic/image')
        yield process, peer


def counts(peer, what):
    """By kind, of what was 'refused' or 'remarked'."""
    peer.received.pop('/diagnostics', None)
    _, _, values = peer.status('input')
    prefix = f'{what} '
    return {key.removeprefix(prefix): int(count) for key, count in values.items() if key.startswith(prefix)}


def refused(peer):
    return counts(peer, 'refused')


def changed(frame, **changes):
    message = rgb8_image(frame.image, CameraInfo().header)
    for name, value in changes.items():
        setattr(message, name, value(message) if callable(value) else value)
    return message


BAD_IMAGES = {
    'no step': ('step', {'step': 0}),
    'a step shorter than a row': ('step', {'step': 3 * WIDTH - 1}),
    'short data': ('data', {'data': lambda m: m.data[:-1]}),
    'long data': ('data', {'data': lambda m: m.data + m.data[:1]}),
    'no data': ('data', {'data': lambda m: m.data[:0]}),
    'an unknown encoding': ('encoding', {'encoding': 'yuv444'}),
    'no encoding': ('encoding', {'encoding': ''}),
    'no width': ('size', {'width': 0}),
    'an absurd size': ('size', {'width': 2**31, 'height': 2**31}),
}


def assert_next_good_frame_is_answered(peer, frame):
    peer.received['semantic/image'].clear()
    (answer,) = peer.ask(frame.image, 'semantic/image')
    assert (answer.width, answer.height) == (WIDTH, HEIGHT)
    assert answer.encoding == 'mono8'


@pytest.mark.parametrize('name', BAD_IMAGES)
def test_bad_images(node, frame, name):
    _, peer = node
    kind, changes = BAD_IMAGES[name]
    before = refused(peer).get(kind, 0)
    message = changed(frame, **changes)
    for _ in range(3):
        message.header = peer.header()
        peer.publish(message)
        peer.spin_for(0.1)
    assert_next_good_frame_is_answered(peer, frame)
    assert refused(peer)[kind] > before
    level, text, _ = peer.status('input')
    assert level == b'\x01'
    assert text.startswith('refused: found')
    assert 'expected' in text


def test_each_kind_is_said_once(node, frame):
    process, peer = node
    for _ in range(10):
        peer.publish(changed(frame, encoding='yuv444', header=peer.header()))
        peer.spin_for(0.02)
    assert_next_good_frame_is_answered(peer, frame)
    lines = [line for line in process.log.splitlines() if 'refused (encoding)' in line]
    # Once, and again only after ten seconds.
    times = [float(line.split('[')[2].split(']')[0]) for line in lines]
    assert lines
    assert all(later - earlier > 9.9 for earlier, later in pairwise(times))


@pytest.mark.parametrize(
    ('kind', 'data'),
    [
        ('data', b''),
        ('compressed', b'not an image'),
        ('compressed', b'\xff\xd8\xff\xe0 no jpeg'),
        ('compressed', cv2.imencode('.jpg', np.zeros((48, 64, 3), np.uint8))[1].tobytes()[:200]),
    ],
    ids=['nothing', 'text', 'only a start', 'cut off'],
)
def test_a_jpeg_that_is_none(compressed_node, frame, kind, data):
    _, peer = compressed_node
    before = refused(peer).get(kind, 0)
    for _ in range(3):
        peer.publish(CompressedImage(header=peer.header(), format='jpeg', data=data), 'image/compressed')
        peer.spin_for(0.1)
    good = cv2.imencode('.jpg', frame.image[..., ::-1])[1].tobytes()

    def answered():
        message = CompressedImage(header=peer.header(), format='jpeg', data=good)
        peer.publish(message, 'image/compressed')
        peer.spin_for(0.2)
        return [m for m in peer.received['semantic/image'] if m.header.stamp == message.header.stamp]

    peer.spin_until(answered, 'the next good frame')
    assert refused(peer)[kind] > before


@pytest.mark.parametrize(
    'change',
    [
        {'width': 64, 'height': 64},
        {'k': [0.0] * 9, 'p': [0.0] * 12},
        {'k': [float('nan')] * 9, 'p': [float('nan')] * 12},
    ],
    ids=['another aspect', 'no focal length', 'not a number'],
)
def test_a_camera_info_that_does_not_fit(node, frame, change):
    """The image is answered without a camera, and not refused; with the next good camera_info it is there again."""
    _, peer = node
    info = camera_info_from(frame.intrinsics, peer.header())
    for name, value in change.items():
        setattr(info, name, value)
    peer.publish(info, 'camera_info')
    peer.spin_for(0.2)
    before = counts(peer, 'remarked').get('camera_info', 0)
    peer.received['depth/camera_info'].clear()
    assert_next_good_frame_is_answered(peer, frame)
    assert counts(peer, 'remarked')['camera_info'] > before
    assert 'camera_info' not in refused(peer)
    assert not peer.received['depth/camera_info']
    peer.ask(frame.image, 'depth/camera_info', intrinsics=frame.intrinsics)


def each(strategy, count, use):
    """Call `use` with `count` random examples."""
    options = settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    options(given(strategy)(use))()


def test_500_random_malformed_images(node, frame):
    """All of them arrive; the node refuses and counts, and lives."""
    process, peer = node
    peer.received.pop('/diagnostics', None)
    _, _, before = peer.status('input')
    sent = []

    def send(message):
        message.header = peer.header()
        peer.publish(message)
        sent.append(message)
        peer.executor.spin_once(timeout_sec=0.01)

    each(images(), 600, send)
    assert_next_good_frame_is_answered(peer, frame)
    assert process.process.poll() is None
    peer.received.pop('/diagnostics')
    _, _, after = peer.status('input')
    assert len(sent) >= 500
    assert int(after['frames in']) - int(before['frames in']) >= 500
    assert int(after['refused']) > int(before['refused'])
    assert 'refused failure' not in after, after['last reason']


def test_500_random_malformed_camera_infos(node, frame):
    """Each is met by an image, which is answered whatever its camera_info says."""
    process, peer = node
    peer.received['semantic/image'].clear()
    before = counts(peer, 'remarked').get('camera_info', 0)
    sent = []

    def send(info):
        info.header = peer.header()
        peer.publish(info, 'camera_info')
        sent.append(peer.send(frame.image, header=info.header))
        peer.executor.spin_once(timeout_sec=0.01)

    each(camera_infos(), 600, send)
    assert len(sent) >= 500
    peer.answer('semantic/image', sent[-1])
    assert process.process.poll() is None
    after = counts(peer, 'remarked')['camera_info']
    assert after - before >= 100, 'most random camera_infos cannot be used'
    assert 'failure' not in refused(peer)
    peer.ask(frame.image, 'depth/camera_info', intrinsics=frame.intrinsics)

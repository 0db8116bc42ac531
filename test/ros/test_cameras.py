# SPDX-License-Identifier: Apache-2.0
"""One node for several cameras, over real DDS."""

import json

import numpy as np
import pytest
from live import LATCHED, active_node, endpoints, pixels, running_node
from std_msgs.msg import String

from mtperception.predictor import Predictor
from mtperception.ros.conversions import rgb8_image
from mtperception.synthetic import SyntheticRoom

SIZES = {'front': (160, 120), 'rear': (160, 120), 'rig/side': (130, 90), 'silent': (160, 120)}
SPEAKING = [name for name in SIZES if name != 'silent']
OUTPUTS = ('depth/image', 'semantic/image', 'semantic/confidence', 'depth/camera_info')


@pytest.fixture(scope='module')
def rig(tmp_path_factory):
    """The node with four cameras, of which one never sends anything."""
    reliable = {
        f'{name}/{topic}.subscription.reliability': 'reliable' for name in SIZES for topic in ('image', 'camera_info')
    }
    folder = tmp_path_factory.mktemp('cameras')
    with active_node(folder, reliable=False, overrides=reliable, cameras=list(SIZES)) as (process, peer):
        peer.subscribe(*(f'{name}/{output}' for name in SIZES for output in OUTPUTS))
        yield process, peer


@pytest.fixture(scope='module')
def frames():
    return {name: SyntheticRoom(*size, 0.8 * size[0]).frame(2.0 * i) for i, (name, size) in enumerate(SIZES.items())}


@pytest.fixture(scope='module')
def sent(rig, frames):
    """The header of an image of each camera, sent at once when all are connected and the node is prepared."""
    _, peer = rig
    for name in SPEAKING:
        peer.ask(frames[name].image, *OUTPUTS, intrinsics=frames[name].intrinsics, camera=name)
    headers = {}
    for name in SPEAKING:
        headers[name] = peer.header()
        headers[name].frame_id = f'{name}_optical'
        peer.publish(rgb8_image(frames[name].image, headers[name]), f'{name}/image')
    for name in SPEAKING:
        peer.answer(f'{name}/semantic/image', headers[name])
    return headers


@pytest.mark.parametrize('name', SPEAKING)
def test_each_camera_gets_its_own_maps_stamps_and_frame(rig, frames, sent, name):
    _, peer = rig
    alone = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')(frames[name].image, frames[name].intrinsics)
    labels, depth, confidence, info = (
        peer.answer(f'{name}/{output}', sent[name])
        for output in ('semantic/image', 'depth/image', 'semantic/confidence', 'depth/camera_info')
    )
    assert {message.header.frame_id for message in (labels, depth, confidence, info)} == {f'{name}_optical'}
    assert (info.width, info.height) == SIZES[name]
    assert np.array_equal(pixels(labels), alone.labels + 1)
    # A batch is summed in another order than a single image: confidence may be rounded to the other side.
    assert np.abs(pixels(confidence).astype(int) - alone.confidence).max() <= 1
    published = pixels(depth, np.float32)
    valid = ~np.isnan(published)
    assert valid.mean() > 0.9
    assert np.allclose(published[valid], alone.depth[valid], rtol=1e-4)


def test_a_silent_camera_holds_nobody_up_and_answers_nothing(rig, sent):
    _, peer = rig
    assert not any(peer.received[f'silent/{output}'] for output in OUTPUTS)


def test_a_camera_that_goes_on_alone_is_answered(rig, frames, sent):
    _, peer = rig
    for _ in range(3):
        peer.answer('rear/semantic/image', peer.send(frames['rear'].image, camera='rear'))


def test_each_camera_has_its_counts(rig, sent):
    _, peer = rig
    received = int(peer.status('front: input')[2]['frames in'])
    answered = int(peer.status('front: processing')[2]['frames out'])
    assert 2 <= answered <= received
    assert peer.status('silent: input')[1:2] == ('waiting for images',)
    assert peer.status('silent: processing')[2]['frames out'] == '0'
    assert peer.status('model')[2]['name'] == 'nyuv2_indoor'


def test_a_refused_image_is_counted_with_its_camera(rig, frames, sent):
    process, peer = rig
    message = rgb8_image(frames['front'].image, peer.header())
    message.encoding = 'plaid8'
    peer.publish(message, 'front/image')
    peer.spin_until(lambda: 'front: refused (encoding)' in process.log, 'the refusal')
    peer.spin_until(lambda: peer.status('front: input')[2]['refused'] == '1', 'the count')
    assert peer.status('rear: input')[2]['refused'] == '0'


def test_each_camera_says_what_the_ids_mean(rig):
    _, peer = rig
    for name in SIZES:
        said = peer.collect(String, f'{name}/semantic/classes', LATCHED)
        peer.spin_until(lambda said=said: said, f'the classes of {name}')
        assert len(json.loads(said[0].data)) == 40


def test_no_topic_is_left_without_a_camera(rig):
    _, peer = rig
    prefix = peer.node.get_namespace()
    assert endpoints(peer, 'front/depth/image') == {('RELIABLE', 'VOLATILE')}
    assert not peer.node.get_publishers_info_by_topic(f'{prefix}/depth/image')
    assert not peer.node.get_subscriptions_info_by_topic(f'{prefix}/image')


def test_names_that_cannot_be_are_refused_and_can_be_repaired(tmp_path):
    with running_node(tmp_path, cameras=['front', 'front']) as (process, peer):
        peer.spin_until(lambda: 'cannot configure' in process.log, 'the error')
        assert 'expected different names of topics' in process.log
        assert peer.set(cameras=['left', 'right']) == ''
        assert peer.transition('configure')
        assert peer.transition('activate')
        peer.subscribe('right/semantic/image')

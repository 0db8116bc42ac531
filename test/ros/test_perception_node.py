# SPDX-License-Identifier: Apache-2.0
"""The node over real DDS: what its topics carry, and how it is managed."""

import json

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from live import LATCHED, active_node, endpoints, pixels
from sensor_msgs.msg import Image
from std_msgs.msg import String

from mtperception.card import DEFAULT_MODEL, open_model
from mtperception.geometry import back_project
from mtperception.labels import load_label_space
from mtperception.messages.outputs import outputs_for
from mtperception.messages.parameters import PARAMETERS
from mtperception.predictor import Predictor
from mtperception.synthetic import SyntheticRoom
from mtperception.visualization import overlay

WIDTH, HEIGHT, FX = 160, 120, 140.0
TOPICS = [output.topic for output in outputs_for(open_model(DEFAULT_MODEL).card.tasks)]


@pytest.fixture(scope='module')
def frame():
    return SyntheticRoom(WIDTH, HEIGHT, FX).frame(5.0)


@pytest.fixture(scope='module')
def prediction(frame):
    """What the model says of the frame, in this process."""
    return Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')(frame.image, frame.intrinsics)


@pytest.fixture(scope='module')
def node(tmp_path_factory):
    with active_node(tmp_path_factory.mktemp('node')) as (process, peer):
        yield process, peer


@pytest.fixture(scope='module')
def answers(node, frame):
    """One message of every topic, all for the same image."""
    _, peer = node
    peer.subscribe(*TOPICS)
    return dict(zip(TOPICS, peer.ask(frame.image, *TOPICS, intrinsics=frame.intrinsics), strict=True))


def test_depth_and_labels_are_the_predictors(answers, prediction):
    assert np.array_equal(pixels(answers['semantic/image']), prediction.labels + 1)
    assert np.array_equal(pixels(answers['semantic/confidence']), prediction.confidence)
    published = pixels(answers['depth/image'], np.float32)
    near, far = 0.3, 10.0
    valid = (prediction.depth >= near) & (prediction.depth <= far)
    assert np.array_equal(published[valid], prediction.depth[valid])
    assert np.isnan(published[~valid]).all()


def test_stamps_and_frames_are_those_of_the_image(answers):
    stamps = {(m.header.stamp.sec, m.header.stamp.nanosec, m.header.frame_id) for m in answers.values()}
    ((sec, nanosec, frame_id),) = stamps
    assert nanosec == 123_456_789
    assert sec > 1_700_000_000
    assert frame_id == 'camera_optical'


def test_encodings(answers):
    encodings = {topic: m.encoding for topic, m in answers.items() if isinstance(m, Image)}
    assert encodings == {
        'depth/image': '32FC1',
        'depth/color': 'rgb8',
        'depth/confidence': 'mono8',
        'semantic/image': 'mono8',
        'semantic/confidence': 'mono8',
        'semantic/mask': 'mono8',
        'semantic/color': 'rgb8',
        'overlay/image': 'rgb8',
    }


def test_camera_info_is_that_of_the_maps(answers):
    for topic in ('depth/camera_info', 'semantic/camera_info'):
        info = answers[topic]
        assert (info.width, info.height, info.k[0], info.p[0]) == (WIDTH, HEIGHT, FX, FX)


def test_colors_can_be_read_back(answers, prediction):
    space = load_label_space('nyuv2_40')
    colors = pixels(answers['semantic/color'], channels=(3,))
    assert np.array_equal(colors, space.palette[prediction.labels])


def test_overlay_raw_and_jpeg(answers, prediction, frame):
    expected = overlay(frame.image, prediction.labels, load_label_space('nyuv2_40'), 0.5)
    assert np.array_equal(pixels(answers['overlay/image'], channels=(3,)), expected)
    jpeg = cv2.imdecode(np.frombuffer(answers['overlay/image/compressed'].data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.abs(jpeg.astype(int) - expected).mean() < 12


def test_points_are_the_depth_in_space(answers, prediction, frame):
    cloud = answers['points']
    assert (cloud.width, cloud.height, cloud.point_step, cloud.is_dense) == (WIDTH // 4, HEIGHT // 4, 28, False)
    assert [(f.name, f.offset) for f in cloud.fields] == [
        ('x', 0), ('y', 4), ('z', 8), ('rgb', 12), ('label', 16), ('confidence', 20), ('depth_confidence', 24)
    ]  # fmt: skip
    raw = np.frombuffer(cloud.data, np.uint8).reshape(cloud.height, cloud.width, 28)
    depth = pixels(answers['depth/image'], np.float32)
    expected = back_project(np.nan_to_num(depth), frame.intrinsics)[::4, ::4]
    np.testing.assert_allclose(raw[..., :12].copy().view(np.float32), expected, rtol=1e-5, atol=1e-6)
    assert np.array_equal(raw[..., 16:20].copy().view(np.uint32)[..., 0], prediction.labels[::4, ::4] + 1)
    confidence = raw[..., 20:24].copy().view(np.float32)[..., 0]
    assert confidence == pytest.approx(prediction.confidence[::4, ::4] / 255, abs=1e-6)
    sure = raw[..., 24:28].copy().view(np.float32)[..., 0]
    assert sure == pytest.approx(
        np.where(expected[..., 2] > 0, prediction.depth_confidence[::4, ::4], 0) / 255, abs=1e-6
    )


def test_classes_are_there_for_late_comers(node):
    _, peer = node
    peer.collect(String, 'semantic/classes', LATCHED)
    message = peer.spin_until(lambda: peer.received['semantic/classes'], 'semantic/classes')[0]
    classes = json.loads(message.data)
    assert len(classes) == 40
    assert classes[3] == {'id': 4, 'name': 'bed', 'color': [0, 0, 128], 'group': 'bed'}


def test_diagnostics(node, answers, frame):
    _, peer = node
    peer.ask(frame.image, 'semantic/image')  # the first image was kept out of the latency
    level, message, values = peer.status('model')
    assert level == b'\x00'
    assert message == 'nyuv2_indoor by onnxruntime on cpu, fp32'
    assert 20 < float(values['memory [MB]']) < 4000
    _, _, processing = peer.status('processing')
    assert int(processing['frames out']) >= 1
    assert {f'{stage} p99 [ms]' for stage in ('convert', 'inference', 'publish', 'total')} <= set(processing)


def test_every_parameter_is_described(node):
    _, peer = node
    described = peer.descriptors()
    for spec in PARAMETERS:
        descriptor = described[spec.name]
        assert descriptor.description == spec.description
        if spec.limits and not isinstance(spec.default, tuple):
            ranges = [*descriptor.floating_point_range, *descriptor.integer_range]
            assert (ranges[0].from_value, ranges[0].to_value) == spec.limits


@pytest.mark.parametrize(
    ('values', 'reason'),
    [
        ({'overlay_alpha': 1.5}, 'overlay_alpha'),
        ({'overlay_alpha': 'half'}, 'Wrong parameter type'),
        ({'point_stride': 0}, 'point_stride'),
        ({'depth_encoding': '64FC1'}, 'expected one of 32FC1, 16UC1'),
        ({'label_offset': 220}, 'need an offset of 215 at most'),
        ({'label_space': 'cityscapes_7'}, "no grouping 'cityscapes_7' of nyuv2_40"),
        ({'mask_classes': ['person', 'dog']}, 'no class dog in nyuv2_40'),
        ({'invalid_depth_classes': ['wall', 'sea']}, 'invalid_depth_classes: no class sea in nyuv2_40'),
        ({'min_depth': -1.0}, 'min_depth'),
        ({'model': 'other'}, 'model is read on configure'),
        ({'autostart': False}, 'read-only'),
        ({'network_size': [320, 240]}, 'network_size is read on configure'),
    ],
)
def test_wrong_values_are_refused_with_the_reason(node, values, reason):
    _, peer = node
    ((name, _),) = values.items()
    before = peer.get(name)
    assert reason in peer.set(**values)
    assert peer.get(name) == before


@pytest.fixture
def changed(node):
    """Set parameters for one test."""
    _, peer = node
    defaults = {spec.name: spec.default for spec in PARAMETERS}
    set_names = []

    def change(**values):
        set_names.extend(values)
        assert peer.set(**values) == ''

    yield change
    back = {name: list(v) if isinstance(v := defaults[name], tuple) else v for name in set_names}
    assert peer.set(**back) == ''


def test_label_offset_changes_live(node, changed, answers, frame, prediction):
    _, peer = node
    changed(label_offset=0, confidence_threshold=0.5)
    peer.received['semantic/image'].clear()
    (message,) = peer.ask(frame.image, 'semantic/image')
    expected = np.where(prediction.confidence < 128, 255, prediction.labels)
    assert np.array_equal(pixels(message), expected)


def test_grouping_changes_live_and_is_announced(node, changed, answers, frame, prediction):
    _, peer = node
    peer.collect(String, 'semantic/classes', LATCHED)
    changed(label_space='nyuv2_13')
    (message,) = peer.ask(frame.image, 'semantic/image')
    table = load_label_space('nyuv2_40').grouping('nyuv2_13')
    assert np.array_equal(pixels(message), table[prediction.labels] + 1)
    announced = peer.spin_until(lambda: peer.received['semantic/classes'], 'the new classes')[-1]
    assert [entry['name'] for entry in json.loads(announced.data)] == list(load_label_space('nyuv2_13').names)


def test_millimetres_and_depth_limits_change_live(node, changed, answers, frame, prediction):
    _, peer = node
    middle = float(np.median(prediction.depth))
    changed(depth_encoding='16UC1', max_depth=middle)
    (message,) = peer.ask(frame.image, 'depth/image', intrinsics=frame.intrinsics)
    assert message.encoding == '16UC1'
    inside = prediction.valid_mask & (prediction.depth <= np.float32(middle))
    expected = np.where(inside, np.rint(prediction.depth * 1000), 0)
    assert np.array_equal(pixels(message, '<u2'), expected)
    assert (expected == 0).mean() > 0.3


def test_classes_without_depth_change_live(node, changed, answers, frame, prediction):
    """By names of the model's own space, also while a grouping is published."""
    _, peer = node
    space = load_label_space('nyuv2_40')
    name = space.names[np.bincount(prediction.labels.ravel()).argmax()]
    changed(invalid_depth_classes=[name], label_space='nyuv2_13')
    (message,) = peer.ask(frame.image, 'depth/image', intrinsics=frame.intrinsics)
    depth = pixels(message, '<f4')
    assert np.isnan(depth[prediction.labels == space.names.index(name)]).all()
    assert np.isfinite(depth).any()


def test_mask_marks_the_classes_asked_for(node, changed, answers, frame, prediction):
    _, peer = node
    space = load_label_space('nyuv2_40')
    names = [space.names[i] for i in np.bincount(prediction.labels.ravel()).argsort()[-2:]]
    changed(mask_classes=names)
    (message,) = peer.ask(frame.image, 'semantic/mask')
    assert np.array_equal(pixels(message), np.isin(prediction.labels, space.indices(names)) * 255)


def test_depth_follows_the_focal_length(node, changed, answers, frame, prediction):
    _, peer = node
    changed(depth_scale_mode='none')
    (message,) = peer.ask(frame.image, 'depth/image')
    found = np.nanmedian(pixels(message, np.float32)) / np.median(prediction.depth)
    assert found == pytest.approx(389.145 / FX, rel=0.02)


def test_depth_is_scaled_as_asked(node, changed, answers, frame, prediction):
    _, peer = node
    changed(depth_scale=0.5)
    (message,) = peer.ask(frame.image, 'depth/image', intrinsics=frame.intrinsics)
    found = pixels(message, np.float32)
    valid = ~np.isnan(found)
    assert valid.mean() > 0.5
    np.testing.assert_allclose(found[valid], prediction.depth[valid] / 2, rtol=1e-5)


def test_a_rate_that_is_not_reached_is_a_warning(node, changed, answers, frame):
    _, peer = node
    changed(min_output_rate=1000.0)
    peer.ask(frame.image, 'depth/image')
    peer.spin_until(lambda: peer.status('processing')[0] == DiagnosticStatus.WARN, 'the warning')


def test_another_size_in_mid_stream(node, answers):
    process, peer = node
    other = SyntheticRoom(121, 91, 100.0).frame(1.0)
    (message,) = peer.ask(other.image, 'semantic/image', intrinsics=other.intrinsics)
    expected = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')(other.image).labels
    assert np.array_equal(pixels(message), expected + 1)
    assert 'preparing for images of 121x91' in process.log


def test_time_that_runs_backwards_is_answered_and_counted(node, answers, frame):
    process, peer = node
    header = peer.header()
    header.stamp.sec -= 1000
    peer.send(frame.image, header=header)
    peer.answer('semantic/image', header)
    assert process.log.count('time runs backwards: a stamp') == 1
    _, _, values = peer.status('input')
    assert int(values['remarked time']) >= 1
    assert values['refused'] == '0'


def test_an_incompatible_subscriber_is_reported_once(node, answers):
    process, peer = node
    demanding = [peer.node.create_subscription(Image, 'depth/image', lambda message: None, LATCHED) for _ in range(2)]
    peer.spin_until(lambda: 'incompatible durability' in process.log, 'the warning')
    peer.spin_for(1)
    assert process.log.count('incompatible durability') == 1
    assert f'qos_overrides.{peer.name.rsplit("/", 1)[0]}/depth/image.publisher.durability' in process.log
    for subscription in demanding:
        peer.node.destroy_subscription(subscription)


def test_qos_by_default(node):
    _, peer = node
    assert {q for topic in TOPICS for q in endpoints(peer, topic)} == {('RELIABLE', 'VOLATILE')}
    assert endpoints(peer, 'semantic/classes') == {('RELIABLE', 'TRANSIENT_LOCAL')}


def test_parameters_are_those_of_the_table(node):
    _, peer = node
    own = {name for name in peer.descriptors() if '.' not in name} - {'use_sim_time', 'start_type_description_service'}
    assert own == {spec.name for spec in PARAMETERS}

"""The node over real DDS: what its topics carry, and how it is managed."""

import json
import signal

import cv2
import numpy as np
import pytest
from live import LATCHED, active_node, running_node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String

from mtperception.geometry import back_project
from mtperception.labels import load_label_space
from mtperception.predictor import Predictor
from mtperception.ros.outputs import OUTPUTS
from mtperception.ros.parameters import PARAMETERS
from mtperception.synthetic import SyntheticRoom
from mtperception.visualization import overlay

WIDTH, HEIGHT, FX = 160, 120, 140.0
TOPICS = [output.topic for output in OUTPUTS if 'normals' not in output.tasks]


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


def pixels(message, dtype=np.uint8, channels=()):
    return np.frombuffer(message.data, dtype).reshape(message.height, message.width, *channels)


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
    assert (cloud.width, cloud.height, cloud.point_step, cloud.is_dense) == (WIDTH // 4, HEIGHT // 4, 24, False)
    assert [(f.name, f.offset) for f in cloud.fields] == [
        ('x', 0), ('y', 4), ('z', 8), ('rgb', 12), ('label', 16), ('confidence', 20)
    ]  # fmt: skip
    raw = np.frombuffer(cloud.data, np.uint8).reshape(cloud.height, cloud.width, 24)
    depth = pixels(answers['depth/image'], np.float32)
    expected = back_project(np.nan_to_num(depth), frame.intrinsics, stride=4)
    assert np.array_equal(raw[..., :12].copy().view(np.float32), expected, equal_nan=True)
    assert np.array_equal(raw[..., 16:20].copy().view(np.uint32)[..., 0], prediction.labels[::4, ::4] + 1)
    confidence = raw[..., 20:24].copy().view(np.float32)[..., 0]
    assert confidence == pytest.approx(prediction.confidence[::4, ::4] / 255, abs=1e-6)


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
        ({'min_depth': 12.0}, 'expected min < max'),
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
    inside = (prediction.depth >= np.float32(0.3)) & (prediction.depth <= np.float32(middle))
    expected = np.where(inside, np.rint(prediction.depth * 1000), 0)
    assert np.array_equal(pixels(message, '<u2'), expected)
    assert (expected == 0).mean() > 0.3


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
    assert found == pytest.approx(518.86 / FX, rel=0.02)


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
    demanding = [peer.node.create_subscription(Image, 'depth/image', print, LATCHED) for _ in range(2)]
    peer.spin_until(lambda: 'incompatible durability' in process.log, 'the warning')
    peer.spin_for(1)
    assert process.log.count('incompatible durability') == 1
    assert f'qos_overrides.{peer.name.rsplit("/", 1)[0]}/depth/image.publisher.durability' in process.log
    for subscription in demanding:
        peer.node.destroy_subscription(subscription)


def test_without_a_camera_nothing_is_invented(tmp_path, frame):
    with active_node(tmp_path) as (process, peer):
        topics = ('depth/image', 'depth/camera_info', 'points')
        peer.subscribe(*topics)
        (message,) = peer.ask(frame.image, 'depth/image')
        unscaled = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')(frame.image).depth
        assert np.array_equal(np.nan_to_num(pixels(message, np.float32)), np.where(unscaled < 0.3, 0, unscaled))
        peer.spin_until(lambda: peer.send(frame.image) and 'no camera_info' in process.log, 'the warning')
        peer.spin_for(0.5)
        assert process.log.count('no camera_info') == 1
        assert not peer.received['depth/camera_info']
        assert not peer.received['points']


def test_compressed_images_of_a_remapped_camera(tmp_path, frame):
    remaps = {'image': '/front/rgb'}
    with active_node(tmp_path, remaps, image_transport='compressed') as (_, peer):
        peer.subscribe('semantic/image')
        png = cv2.imencode('.png', frame.image[..., ::-1])[1].tobytes()
        message = CompressedImage(header=peer.header(), format='rgb8; png compressed bgr8', data=png)
        peer.publish(message, '/front/rgb/compressed')
        answer = peer.answer('semantic/image', message.header)
        expected = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')(frame.image).labels
        assert np.array_equal(pixels(answer), expected + 1)


def test_no_subscriber_no_inference(tmp_path, frame):
    with active_node(tmp_path) as (_, peer):
        for _ in range(5):
            peer.send(frame.image)
            peer.spin_for(0.1)
        _, message, values = peer.status('processing')
        assert message == 'idle: no subscribers'
        assert values['frames out'] == '0'
        _, _, values = peer.status('input')
        assert int(values['frames in']) >= 1


def test_the_newest_frame_wins(tmp_path):
    """Of a burst the last frame is answered, those in between are dropped and counted."""
    large = SyntheticRoom(640, 480, 525.0).frame(0.0).image
    with active_node(tmp_path) as (_, peer):
        peer.subscribe('semantic/image')
        peer.ask(large, 'semantic/image')
        for _ in range(20):
            last = peer.send(large)
            peer.spin_for(0.01)
        peer.answer('semantic/image', last)
        _, _, values = peer.status('processing')
        assert int(values['dropped']) > 0
        assert int(values['frames out']) + int(values['dropped']) <= 21 + 5


def test_max_rate(tmp_path, frame):
    with active_node(tmp_path, max_rate=0.001) as (_, peer):
        peer.subscribe('semantic/image')
        first = peer.send(frame.image)
        peer.answer('semantic/image', first)
        for _ in range(10):
            peer.send(frame.image)
            peer.spin_for(0.05)
        assert peer.set(max_rate=0.0) == ''
        last = peer.send(frame.image)
        peer.answer('semantic/image', last)
        assert [message.header.stamp for message in peer.received['semantic/image']] == [first.stamp, last.stamp]
        _, _, values = peer.status('processing')
        assert values['dropped'] == '0'


def endpoints(peer, topic):
    """Reliability and durability of the node's end of a topic."""
    name = f'{peer.node.get_namespace()}/{topic}'
    found = peer.node.get_publishers_info_by_topic(name) + peer.node.get_subscriptions_info_by_topic(name)
    return {
        (i.qos_profile.reliability.name, i.qos_profile.durability.name) for i in found if i.node_name == 'perception'
    }


def test_qos_by_default(node):
    _, peer = node
    with_defaults = [output.topic for output in OUTPUTS if 'normals' not in output.tasks]
    assert {q for topic in with_defaults for q in endpoints(peer, topic)} == {('RELIABLE', 'VOLATILE')}
    assert endpoints(peer, 'semantic/classes') == {('RELIABLE', 'TRANSIENT_LOCAL')}


def test_qos_of_one_topic_is_overridden_and_of_no_other(tmp_path):
    overrides = {
        'image.subscription.durability': 'transient_local',
        'semantic/image.publisher.durability': 'transient_local',
        'depth/color.publisher.reliability': 'best_effort',
    }
    with active_node(tmp_path, reliable=False, overrides=overrides) as (_, peer):
        assert endpoints(peer, 'image') == {('BEST_EFFORT', 'TRANSIENT_LOCAL')}
        assert endpoints(peer, 'camera_info') == {('BEST_EFFORT', 'VOLATILE')}
        assert endpoints(peer, 'semantic/image') == {('RELIABLE', 'TRANSIENT_LOCAL')}
        assert endpoints(peer, 'depth/color') == {('BEST_EFFORT', 'VOLATILE')}
        assert endpoints(peer, 'depth/image') == {('RELIABLE', 'VOLATILE')}


@pytest.mark.parametrize(
    ('override', 'transition'),
    [('semantic/image.publisher.reliability', 'configure'), ('image.subscription.reliability', 'activate')],
)
def test_a_wrong_qos_override_is_one_clear_line_and_leaves_nothing(tmp_path, override, transition):
    with running_node(tmp_path, reliable=False, autostart=False, overrides={override: 'besteffort'}) as (process, peer):
        if transition == 'activate':
            assert peer.transition('configure')
        before = peer.state()
        for _ in range(2):
            assert not peer.transition(transition)
            assert peer.state() == before
        assert process.log.count(f'cannot {transition}: Unexpected QoS override') == 2
        peer.spin_for(0.5)
        assert not peer.node.get_subscriptions_info_by_topic(f'{peer.node.get_namespace()}/camera_info')
        if transition == 'configure':
            assert not peer.node.get_publishers_info_by_topic(f'{peer.node.get_namespace()}/depth/image')


def test_managed_by_hand(tmp_path, frame):
    """Each transition does its part, and undoes exactly that."""
    with running_node(tmp_path, autostart=False) as (_, peer):
        assert peer.state() == 'unconfigured'
        topics = {output.topic for output in OUTPUTS}

        def offered():
            names = peer.node.get_publisher_names_and_types_by_node('perception', peer.node.get_namespace())
            prefix = peer.node.get_namespace() + '/'
            return {name.removeprefix(prefix) for name, _ in names} & topics

        def listens():
            return peer.node.count_subscribers(f'{peer.node.get_namespace()}/image') > 0

        assert not offered()
        assert peer.transition('configure')
        assert peer.state() == 'inactive'
        peer.spin_until(lambda: offered() == set(TOPICS), 'the outputs')
        assert not listens()
        assert peer.transition('activate')
        peer.subscribe('semantic/image')
        peer.ask(frame.image, 'semantic/image')
        assert peer.transition('deactivate')
        peer.spin_until(lambda: not listens(), 'the end of the subscriptions')
        assert offered() == set(TOPICS)
        assert peer.transition('cleanup')
        assert peer.state() == 'unconfigured'
        peer.spin_until(lambda: not offered(), 'the end of the outputs')
        assert peer.transition('configure')
        assert peer.transition('activate')
        peer.ask(frame.image, 'semantic/image')


@pytest.mark.parametrize(
    ('parameters', 'repair', 'message'),
    [
        ({'model': 'nyuv3'}, {'model': 'nyuv2_indoor'}, "no model 'nyuv3'"),
        ({'device': 'tpu'}, {'device': 'cpu'}, "unknown device 'tpu'"),
        ({'overlay_alpha': 7.0}, {'overlay_alpha': 0.5}, 'overlay_alpha'),
        ({'depth_encoding': '8UC1'}, {'depth_encoding': '16UC1'}, 'expected one of 32FC1, 16UC1'),
        ({'mask_classes': ['dog']}, {'mask_classes': ['bed']}, 'no class dog in nyuv2_40'),
    ],
)
def test_what_cannot_be_is_one_clear_line_and_can_be_repaired(tmp_path, parameters, repair, message):
    with running_node(tmp_path, **parameters) as (process, peer):
        peer.spin_until(lambda: 'cannot configure' in process.log, 'the error')
        (line,) = [line for line in process.log.splitlines() if 'ERROR' in line]
        assert message in line
        assert peer.state() == 'unconfigured'
        assert peer.set(**repair) == ''
        assert peer.transition('configure')
        assert peer.transition('activate')


def test_services_answer_while_the_network_runs(tmp_path):
    """A frame that takes long is still in work when a parameter was read and set."""
    large = SyntheticRoom(1280, 960, 1050.0).frame(0.0).image
    with active_node(tmp_path, network_size=[1280, 960]) as (_, peer):
        peer.subscribe('semantic/image')
        peer.ask(large, 'semantic/image')
        header = peer.send(large)
        peer.spin_for(0.05)
        assert peer.set(overlay_alpha=0.25) == ''
        assert peer.get('overlay_alpha') == 0.25
        assert header.stamp not in [message.header.stamp for message in peer.received['semantic/image']]
        peer.answer('semantic/image', header)


def test_large_images_at_the_networks_size_and_three_tasks(tmp_path, three_task_model):
    """All maps come at the size that the network saw, with the camera of that size."""
    scene = SyntheticRoom(320, 240, 250.0).frame(2.0)
    topics = ('depth/image', 'depth/camera_info', 'normals/image', 'overlay/image', 'points', 'semantic/image')
    options = {'model': str(three_task_model), 'output_size': 'network', 'network_size': [100, 100], 'point_stride': 1}
    with active_node(tmp_path, **options) as (_, peer):
        peer.subscribe(*topics)
        answers = dict(zip(topics, peer.ask(scene.image, *topics, intrinsics=scene.intrinsics), strict=True))
    assert {(message.width, message.height) for message in answers.values()} == {(100, 75)}
    predictor = Predictor(three_task_model, 'onnxruntime', 'cpu', network_size=(100, 100), output_size='network')
    expected = predictor(scene.image, scene.intrinsics)
    assert np.array_equal(pixels(answers['normals/image'], np.float32, (3,)), expected.normals)
    assert answers['normals/image'].encoding == '32FC3'
    info = answers['depth/camera_info']
    # Half-pixel centres: (159.5 + 0.5) * 100 / 320 - 0.5.
    assert (info.k[0], info.k[2]) == pytest.approx((250 * 100 / 320, (scene.intrinsics.cx + 0.5) * 100 / 320 - 0.5))


def test_configure_and_cleanup_do_not_grow(tmp_path):
    with running_node(tmp_path, autostart=False, backend='openvino') as (process, peer):
        sizes = []
        for _ in range(20):
            for transition in ('configure', 'activate', 'deactivate', 'cleanup'):
                assert peer.transition(transition)
            sizes.append(process.resident_mb())
        assert max(sizes[10:]) < max(sizes[:10]) + 10, sizes


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_cleanly(tmp_path, frame, number):
    with active_node(tmp_path) as (process, peer):
        peer.subscribe('semantic/image')
        peer.ask(frame.image, 'semantic/image')
        peer.send(frame.image)
        assert process.stop(number) == 0
        assert 'Traceback' not in process.log


def test_an_interrupt_while_it_configures(tmp_path):
    with running_node(tmp_path, warm_up_iterations=20) as (process, peer):
        peer.spin_until(lambda: 'passed the self-test' in process.log, 'the model')
        assert process.stop(signal.SIGTERM) == 0
        assert 'Traceback' not in process.log


def test_parameters_are_those_of_the_table(node):
    _, peer = node
    own = {name for name in peer.descriptors() if '.' not in name} - {'use_sim_time', 'start_type_description_service'}
    assert own == {spec.name for spec in PARAMETERS}

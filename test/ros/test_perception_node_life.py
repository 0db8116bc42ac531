# SPDX-License-Identifier: Apache-2.0
"""The life of the node over real DDS: parameters at its start, transitions, overload, and how it ends."""

import signal

import cv2
import numpy as np
import pytest
from live import active_node, endpoints, pixels, running_node
from rclpy.lifecycle import TransitionCallbackReturn
from sensor_msgs.msg import CompressedImage

from mtperception.card import DEFAULT_MODEL, open_model
from mtperception.messages.outputs import OUTPUTS, outputs_for
from mtperception.messages.point_cloud import POINT_OF_DEPTH_CONFIDENCE
from mtperception.predictor import Predictor
from mtperception.ros.perception_node import perception_node
from mtperception.ros.process import ros_process
from mtperception.synthetic import SyntheticRoom

WIDTH, HEIGHT, FX = 160, 120, 140.0
TOPICS = [output.topic for output in outputs_for(open_model(DEFAULT_MODEL).card.tasks)]


@pytest.fixture(scope='module')
def frame():
    return SyntheticRoom(WIDTH, HEIGHT, FX).frame(5.0)


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

        def answer():
            """To an image that is sent until the node has discovered who subscribes."""
            message = CompressedImage(header=peer.header(), format='rgb8; png compressed bgr8', data=png)
            peer.publish(message, '/front/rgb/compressed')
            peer.spin_for(0.5)
            return peer.received['semantic/image']

        (answer, *_) = peer.spin_until(answer, 'an answer')
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


def test_the_newest_frame_wins(tmp_path, frame):
    """Of a burst the last frame is answered, those in between are dropped and counted."""
    with active_node(tmp_path, network_size=[1280, 960]) as (_, peer):  # takes far longer than the burst
        peer.subscribe('semantic/image')
        peer.ask(frame.image, 'semantic/image')
        for _ in range(8):  # the middleware keeps 10
            last = peer.send(frame.image)
        peer.answer('semantic/image', last)
        _, _, received = peer.status('input')
        _, _, processed = peer.status('processing')
        assert int(processed['dropped']) > 0
        assert int(processed['frames out']) + int(processed['dropped']) == int(received['frames in'])


def test_max_rate(tmp_path, frame):
    with active_node(tmp_path, max_rate=0.001) as (_, peer):
        peer.subscribe('semantic/image')
        (first,) = peer.ask(frame.image, 'semantic/image')
        for _ in range(10):
            peer.send(frame.image)
            peer.spin_for(0.05)
        assert peer.set(max_rate=0.0) == ''
        last = peer.send(frame.image)
        peer.answer('semantic/image', last)
        assert [message.header.stamp for message in peer.received['semantic/image']] == [first.header.stamp, last.stamp]
        _, _, values = peer.status('processing')
        assert values['dropped'] == '0'


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

        known = peer.node.get_node_names_and_namespaces
        peer.spin_until(lambda: ('perception', peer.node.get_namespace()) in known(), 'the node in the graph')
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
        ({'cameras': []}, {'cameras': ['front']}, "cameras []: expected different names of topics, such as ['front'"),
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


def test_a_quality_of_service_of_the_wrong_type_is_one_clear_line(capfd):
    settings = ('autostart:=false', 'device:=cpu', 'qos_overrides./depth/image.publisher.depth:=ten')
    with ros_process(['--ros-args', *(text for setting in settings for text in ('-p', setting))]):
        node = perception_node()
        assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
        node.destroy_node()
    (line,) = [line for line in capfd.readouterr().err.splitlines() if 'ERROR' in line]
    assert 'cannot configure: ' in line
    assert 'qos_overrides./depth/image.publisher.depth' in line
    assert "'ten'" in line


def test_a_misspelt_parameter_is_told_and_one_for_other_nodes_is_not(tmp_path):
    with running_node(tmp_path, autostart=False, point_strid=2, robot_name='walker') as (process, peer):
        peer.wait_for_state('unconfigured')
        (line,) = [line for line in process.log.splitlines() if 'WARN' in line]
        assert "unknown parameter 'point_strid', ignored: did you mean 'point_stride'?" in line


def test_a_size_that_memory_is_too_short_for_is_one_clear_line_and_can_be_repaired(tmp_path):
    with running_node(tmp_path, autostart=False, network_size=[4000, 3000]) as (process, peer):
        peer.wait_for_state('unconfigured')
        process.limit_growth(7e8)  # the model takes a part of that, this size gigabytes
        assert not peer.transition('configure')
        process.limit_growth(None)
        (line,) = [line for line in process.log.splitlines() if 'ERROR' in line]
        assert 'cannot configure: onnxruntime on cpu' in line
        assert peer.set(network_size=[160, 120]) == ''
        assert peer.transition('configure')


def test_services_answer_while_the_network_runs(tmp_path):
    """A frame that takes long is still running when a parameter was read and set."""
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


def test_large_images_at_the_networks_size_and_every_task(tmp_path, every_task_model):
    """All maps come at the size that the network saw, with the camera of that size."""
    scene = SyntheticRoom(320, 240, 250.0).frame(2.0)
    topics = (
        *('depth/image', 'depth/camera_info', 'depth/confidence', 'normals/image', 'overlay/image', 'points'),
        'semantic/image',
    )
    options = {'model': str(every_task_model), 'output_size': 'network', 'network_size': [100, 100], 'point_stride': 1}
    with active_node(tmp_path, **options) as (_, peer):
        peer.subscribe(*topics)
        answers = dict(zip(topics, peer.ask(scene.image, *topics, intrinsics=scene.intrinsics), strict=True))
    assert {(message.width, message.height) for message in answers.values()} == {(100, 75)}
    predictor = Predictor(every_task_model, 'onnxruntime', 'cpu', network_size=(100, 100), output_size='network')
    expected = predictor(scene.image, scene.intrinsics)
    assert np.array_equal(pixels(answers['normals/image'], np.float32, (3,)), expected.normals)
    assert answers['normals/image'].encoding == '32FC3'
    sure = pixels(answers['depth/confidence'], np.uint8)
    assert answers['depth/confidence'].encoding == 'mono8'
    assert np.array_equal(sure, np.where(expected.measured_depth > 0, expected.depth_confidence, 0))
    assert sure.std() > 0
    points = np.frombuffer(answers['points'].data, POINT_OF_DEPTH_CONFIDENCE).reshape(75, 100)
    np.testing.assert_allclose(points['depth_confidence'], sure / 255, atol=1e-6)
    info = answers['depth/camera_info']
    # Half-pixel centres: (159.5 + 0.5) * 100 / 320 - 0.5.
    assert (info.k[0], info.k[2]) == pytest.approx((250 * 100 / 320, (scene.intrinsics.cx + 0.5) * 100 / 320 - 0.5))


def test_configure_and_cleanup_do_not_grow(tmp_path):
    with running_node(tmp_path, autostart=False, backend='openvino') as (process, peer):
        sizes = []
        for _ in range(13):
            for transition in ('configure', 'activate', 'deactivate', 'cleanup'):
                assert peer.transition(transition)
            sizes.append(process.resident_mb())
        # The allocator keeps up to 30 MB now and then. A model that stays, 12 MB of weights, adds up to 100 in eight.
        assert min(sizes[10:]) < max(sizes[:3]) + 40, sizes


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

# SPDX-License-Identifier: Apache-2.0
"""A recorded bag, read back with rosbags and with the mcap library."""

import json
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from bags import STORE
from ended_process import ended_process
from full_disk import largest_file
from recordings import transforms, translation
from rosbags.rosbag2 import Writer

from mtperception.card import open_model
from mtperception.errors import OccupiedError, WriteError
from mtperception.recording.bag_reader import BagReader
from mtperception.replay.out_bag import quality_of_service

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from recordings import DEPTH, IMAGE, INFO, ODOM, room_messages, write_recording
from rosbags.highlevel import AnyReader
from rosbags.interfaces import QosDurability, QosReliability
from rosbags.rosbag2 import StoragePlugin

from mtperception.messages.outputs import OUTPUTS
from mtperception.predictor import Predictor
from mtperception.recording.recording import Recording
from mtperception.replay.out_bag import free_namespace, recorded_bag
from mtperception.replay.replay import replay

COUNT, WIDTH, HEIGHT = 3, 96, 72
OUTPUT_TOPICS = {f'/{output.topic}' for output in OUTPUTS} - {'/normals/image'}


@pytest.fixture(scope='module')
def predictor():
    with_network = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')
    yield with_network
    with_network.close()


def record(predictor, bag, out):
    """What was predicted for each image of a bag, by its stamp, while all was recorded."""
    kept = {}

    def keep(frame, prediction):
        kept[frame.stamp_ns] = frame, prediction

    with Recording(bag) as recording, recorded_bag(out, bag, predictor, recording.used_topics) as recorder:
        replay(predictor, recording, on_message=recorder.message, listeners=[keep, recorder.frame])
    return kept


def read(path):
    """Messages by topic, each with the nanosecond of its reception; the QoS by topic; topics in their order."""
    messages, qos, order = {}, {}, []
    with AnyReader([path]) as reader:  # no default types: the bag itself has the definitions
        for connection, received_ns, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            messages.setdefault(connection.topic, []).append((received_ns, message))
            qos[connection.topic] = connection.ext.offered_qos_profiles
            order.append(connection.topic)
    return messages, qos, order


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    return write_recording(tmp_path_factory.mktemp('bags') / 'walk', room_messages(COUNT, WIDTH, HEIGHT))


@pytest.fixture(scope='module', params=['out.mcap', 'out.db3', 'out'])
def recorded(request, predictor, bag, tmp_path_factory):
    out = tmp_path_factory.mktemp('recorded') / request.param
    return record(predictor, bag, out), out, read(out)


@pytest.fixture(scope='module')
def mcap(predictor, bag, tmp_path_factory):
    out = tmp_path_factory.mktemp('mcap') / 'out.mcap'
    return record(predictor, bag, out), out


def stamp_ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def maps(message, dtype=np.uint8, channels=()):
    return np.frombuffer(bytes(message.data), dtype).reshape(message.height, message.width, *channels)


def assert_pixels(topics, kept):
    """Maps of the messages by topic are those of the predictions.

    Published ids start at 1. Depth beyond the model's range, 0.3 to 10 m, is NaN; scaling to the camera can bring it.
    """
    answers = (topics[topic] for topic in ('/depth/image', '/semantic/image', '/semantic/confidence'))
    for depth, ids, confidence in zip(*answers, strict=True):
        _, prediction = kept[stamp_ns(depth)]
        expected = np.where(prediction.valid_mask, prediction.depth, np.float32('nan'))
        np.testing.assert_array_equal(maps(depth, np.float32), expected)
        np.testing.assert_array_equal(maps(ids), prediction.labels + 1)
        np.testing.assert_array_equal(maps(confidence), prediction.confidence)


class TestRosbags:
    def test_input_is_as_it_was(self, recorded, bag):
        _, _, (messages, _, _) = recorded
        original, _, _ = read(bag)
        assert set(messages) == {IMAGE, INFO, DEPTH, ODOM, '/semantic/classes'} | OUTPUT_TOPICS
        for topic in (IMAGE, INFO, DEPTH, ODOM):
            assert [received for received, _ in messages[topic]] == [received for received, _ in original[topic]]
            for (_, copied), (_, message) in zip(messages[topic], original[topic], strict=True):
                assert repr(copied) == repr(message)
        np.testing.assert_array_equal(messages[DEPTH][2][1].data, original[DEPTH][2][1].data)

    def test_each_output_has_the_stamp_of_its_image_and_was_received_with_it(self, recorded):
        _, _, (messages, _, _) = recorded
        expected = [(received, stamp_ns(image), 'camera') for received, image in messages[IMAGE]]
        assert len(expected) == COUNT
        for topic in OUTPUT_TOPICS:
            assert [(r, stamp_ns(m), m.header.frame_id) for r, m in messages[topic]] == expected

    def test_pixels_are_those_of_the_prediction(self, recorded):
        kept, _, (messages, _, _) = recorded
        assert len(kept) == COUNT
        topics = {topic: [message for _, message in found] for topic, found in messages.items()}
        assert_pixels(topics, kept)
        others = (topics[topic] for topic in ('/depth/camera_info', '/overlay/image/compressed', '/points'))
        for info, overlay, points in zip(*others, strict=True):
            frame, prediction = kept[stamp_ns(info)]
            assert info.k[0] == frame.intrinsics.fx
            assert cv2.imdecode(overlay.data, cv2.IMREAD_COLOR).shape == frame.image.shape
            label = points.data.reshape(points.height, points.width, points.point_step)[..., 16]
            np.testing.assert_array_equal(label, prediction.labels[::4, ::4] + 1)

    def test_classes_are_latched_once_before_all_else(self, recorded):
        _, _, (messages, qos, order) = recorded
        assert order[0] == '/semantic/classes'
        ((_, classes),) = messages['/semantic/classes']
        assert json.loads(classes.data)[0]['name'] == 'wall'
        for topic in ('/semantic/classes', *OUTPUT_TOPICS):
            (profile,) = qos[topic]
            assert profile.reliability is QosReliability.RELIABLE
            latched = topic == '/semantic/classes'
            assert profile.durability is (QosDurability.TRANSIENT_LOCAL if latched else QosDurability.VOLATILE)

    def test_the_path_says_what_it_is(self, recorded):
        _, out, _ = recorded
        assert out.is_file() == bool(out.suffix)
        files = [out] if out.suffix else list(out.iterdir())
        assert {file.suffix for file in files} == ({out.suffix} if out.suffix else {'.db3', '.yaml'})
        assert list(out.parent.iterdir()) == [out]

    def test_it_is_scored_again_against_the_same_topics(self, recorded):
        with Recording(recorded[1]) as recording:
            assert (recording.topics.image, recording.topics.depth, recording.topics.pose) == (IMAGE, DEPTH, ODOM)


def test_mcap_decodes_it_by_the_definitions_in_it(mcap):
    reading = pytest.importorskip('mcap.reader')
    decoding = pytest.importorskip('mcap_ros2.decoder')
    kept, out = mcap
    topics, latched = {}, set()
    with out.open('rb') as file:
        reader = reading.make_reader(file, decoder_factories=[decoding.DecoderFactory()])
        assert reader.get_header().profile == 'ros2'
        for _, channel, _, message in reader.iter_decoded_messages():
            topics.setdefault(channel.topic, []).append(message)
            if 'durability: transient_local' in channel.metadata['offered_qos_profiles']:
                latched.add(channel.topic)
    assert latched == {'/semantic/classes'}
    assert [stamp_ns(image) for image in topics[IMAGE]] == list(kept)
    assert {len(topics[topic]) for topic in OUTPUT_TOPICS} == {COUNT}
    assert_pixels(topics, kept)
    frame, _ = kept[stamp_ns(topics[IMAGE][0])]
    np.testing.assert_array_equal(maps(topics[IMAGE][0], channels=(3,)), frame.image)
    fields = [field.name for field in topics['/points'][0].fields]
    assert fields == ['x', 'y', 'z', 'rgb', 'label', 'confidence', 'depth_confidence']


def test_a_folder_is_of_the_same_storage(predictor, tmp_path):
    bag = write_recording(tmp_path / 'walk', room_messages(1, WIDTH, HEIGHT), StoragePlugin.MCAP)
    record(predictor, bag, tmp_path / 'made' / 'out')
    assert sorted(file.name for file in (tmp_path / 'made' / 'out').iterdir()) == ['metadata.yaml', 'out.mcap']


def test_without_a_camera_info_nothing_is_invented(predictor, tmp_path):
    messages = [(topic, message) for topic, message in room_messages(1, WIDTH, HEIGHT) if topic != INFO]
    record(predictor, write_recording(tmp_path / 'walk', messages), tmp_path / 'out.mcap')
    missing = {'/depth/camera_info', '/semantic/camera_info', '/points'}
    assert OUTPUT_TOPICS - set(read(tmp_path / 'out.mcap')[0]) == missing


def test_a_sensor_with_the_name_of_an_output_keeps_it(predictor, tmp_path):
    renamed = [('/depth/image' if topic == DEPTH else topic, m) for topic, m in room_messages(1, WIDTH, HEIGHT)]
    record(predictor, write_recording(tmp_path / 'walk', renamed), tmp_path / 'out.mcap')
    messages, _, _ = read(tmp_path / 'out.mcap')
    assert messages['/depth/image'][0][1].encoding == '16UC1'
    assert messages['/perception/depth/image'][0][1].encoding == '32FC1'
    with Recording(tmp_path / 'out.mcap') as recording:
        assert recording.topics.depth == '/depth/image'


@pytest.mark.parametrize(
    ('taken', 'namespace'),
    [
        (['/points_raw', 'points'], ''),
        (['/points'], '/perception'),
        (['/points', '/perception/classes'], '/perception_2'),
    ],
)
def test_namespaces(taken, namespace):
    assert free_namespace(['points', 'classes'], taken) == namespace


def test_nothing_is_overwritten(predictor, bag, tmp_path):
    (tmp_path / 'out.mcap').write_text('mine')
    with (
        pytest.raises(FileExistsError, match='already exists'),
        recorded_bag(tmp_path / 'out.mcap', bag, predictor, []),
    ):
        pass
    assert (tmp_path / 'out.mcap').read_text() == 'mine'


def test_of_two_processes_that_write_one_bag_the_first_to_finish_has_it(predictor, bag, tmp_path):
    out = tmp_path / 'out.mcap'
    faster = [sys.executable, '-m', 'mtperception', 'replay', bag, '--backend', 'onnxruntime', '--out-bag', out]
    with Recording(bag) as recording, ExitStack() as writing:
        recorder = writing.enter_context(recorded_bag(out, bag, predictor, recording.used_topics))
        subprocess.run(faster, check=True, capture_output=True, timeout=120)
        replay(predictor, recording, on_message=recorder.message, listeners=[recorder.frame])
        with pytest.raises(OccupiedError, match='already exists'):
            writing.close()
    assert list(tmp_path.iterdir()) == [out]
    messages, _, _ = read(out)
    assert len(messages['/depth/image']) == COUNT


def test_what_is_not_complete_is_not_left(predictor, bag, tmp_path):
    def fail(frame, prediction):
        raise KeyboardInterrupt

    out = Path(tmp_path / 'out')
    with (
        pytest.raises(KeyboardInterrupt),
        Recording(bag) as recording,
        recorded_bag(out, bag, predictor, recording.used_topics) as recorder,
    ):
        replay(predictor, recording, on_message=recorder.message, listeners=[recorder.frame, fail])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('name', ['out', 'out.db3', 'out.mcap'])
@pytest.mark.parametrize('size', [0, 3000, 40_000])
def test_a_full_disk_is_an_error_of_the_bag_that_is_written(predictor, bag, tmp_path, name, size):
    """SQLite has errors of its own for it. A run that was killed before is no obstacle."""
    (tmp_path / f'.out.part{ended_process()}{Path(name).suffix}' / 'out').mkdir(parents=True)
    with (
        largest_file(size),
        pytest.raises(WriteError, match=f'^{tmp_path}/{name}: cannot be written: '),
        Recording(bag) as recording,
        recorded_bag(tmp_path / name, bag, predictor, recording.used_topics) as recorder,
    ):
        replay(predictor, recording, on_message=recorder.message, listeners=[recorder.frame])
    assert list(tmp_path.iterdir()) == []


def test_the_quality_of_service_of_the_recording_is_kept(tmp_path):
    """Else a static transform would come too early for who is late."""
    kind, model, latched = 'tf2_msgs/msg/TFMessage', open_model('nyuv2_indoor'), quality_of_service(1, latched=True)
    with Writer(tmp_path / 'bag', version=9, storage_plugin=StoragePlugin.SQLITE3) as writer:
        connection = writer.add_connection('/tf_static', kind, typestore=STORE, offered_qos_profiles=[latched])
        writer.write(connection, 1, STORE.serialize_cdr(transforms(('a', 'b', translation(), 0)), kind))
    predictor = SimpleNamespace(card=model.card, label_space=model.label_space)
    with (
        closing(BagReader(tmp_path / 'bag')) as reader,
        recorded_bag(tmp_path / 'out', tmp_path / 'bag', predictor, []) as recorder,
    ):
        for connection, received_ns, data in reader.messages(reader.connections):
            recorder.message(reader, connection, received_ns, data)
    with AnyReader([tmp_path / 'out']) as reader:
        (connection,) = [each for each in reader.connections if each.topic == '/tf_static']
        assert connection.ext.offered_qos_profiles == [latched]

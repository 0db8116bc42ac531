# SPDX-License-Identifier: Apache-2.0
"""Types and encodings of topics, and whatever writers of MCAP leave out: the images of a bag are read all the same."""

import sqlite3
from contextlib import closing

import pytest

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from bags import STORE, raw, write_bag
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from noise_bags import ALL, IMAGE_DEFINITION, NOISE, read, small_images

from mtperception.recording.bag_reader import BagReader


def write_mcap(path, beside=(), profile='ros2', image=('ros2msg', IMAGE_DEFINITION), options=None):
    """Images with stamps 1 to 5 ns, and channels of (topic, type, schema encoding, definition, message encoding)."""
    with path.open('wb') as stream:
        writer = McapWriter(stream, **(options or {}))
        writer.start(profile)
        schema = writer.register_schema('sensor_msgs/msg/Image', *image)
        images = writer.register_channel('/image', 'cdr', schema)
        others = [
            writer.register_channel(topic, message_encoding, writer.register_schema(kind, encoding, text))
            for topic, kind, encoding, text, message_encoding in beside
        ]
        for index in range(5):
            message = raw(NOISE[:2, :4], stamp_ns=index + 1)
            data = bytes(STORE.serialize_cdr(message, message.__msgtype__))
            writer.add_message(images, 100 + index, data, 100 + index)
            for channel in others:
                writer.add_message(channel, 100 + index, b'\0\1\0\0abcd', 100 + index)
        writer.finish()
    return path


class TestTopicsThatAreNotNeeded:
    @pytest.mark.parametrize(
        ('kind', 'encoding', 'text', 'message_encoding', 'why'),
        [
            ('robot/msg/Battery', '', b'', 'cdr', 'definition is not in the recording'),
            ('robot/msg/Battery', 'unknown', b'', 'cdr', 'definition is not in the recording'),
            ('robot/msg/Battery', 'ros2msg', b'', 'cdr', 'definition is not in the recording'),
            ('robot/msg/State', 'ros2msg', b'float32 a\nother_msgs/Meas', 'cdr', 'definition (ros2msg) cannot be read'),
            ('robot/msg/State', 'ros2msg', b'float32 a\nother_msgs/State b', 'cdr', 'definition (ros2msg) cannot be'),
            ('robot/msg/State', 'ros2msg', b'\xff\xfe\0\1garbage {{{', 'cdr', 'definition (ros2msg) cannot be read'),
            ('robot/msg/State', 'ros2idl', b'module x { struct', 'cdr', 'definition (ros2idl) cannot be read'),
            ('foxglove::Scene', 'omgidl', b'module a {\n@mutable\nstruct B {\n@id(1) int c;', 'cdr', 'cannot be read'),
            ('Odom', 'jsonschema', b'{}', 'json', "encoded as 'json', expected cdr"),
            ('foxglove.Log', 'protobuf', b'\n\0', 'protobuf', "encoded as 'protobuf', expected cdr"),
            ('std_msgs/String', 'ros1msg', b'string data', 'ros1', "encoded as 'ros1', expected cdr"),
        ],
    )
    def test_are_not_in_the_way(self, tmp_path, kind, encoding, text, message_encoding, why):
        path = write_mcap(tmp_path / 'a.mcap', [('/x', kind, encoding, text, message_encoding)])
        assert read(path) == (ALL[:5], [])
        with closing(BagReader(path)) as reader:
            assert [connection.topic for connection in reader.connections] == ['/image']
            assert list(reader.unreadable) == ['/x']
            assert kind in reader.unreadable['/x']
            assert why in reader.unreadable['/x']

    def test_nor_in_databases(self, tmp_path):
        messages = [*small_images(), ('/battery', STORE.types['std_msgs/msg/String']('full'))]
        bag = write_bag(tmp_path / 'bag', messages)
        with closing(sqlite3.connect(bag / 'bag.db3')) as database:
            database.execute("UPDATE topics SET type = 'robot/msg/Battery' WHERE name = '/battery'")
            database.execute(
                "UPDATE message_definitions SET topic_type = 'robot/msg/Battery', encoding = 'unknown', "
                "encoded_message_definition = '' WHERE topic_type = 'std_msgs/msg/String'"
            )
            database.commit()
        assert read(bag) == (ALL[:5], [])

    def test_one_with_the_line_ends_of_windows_is_read(self, tmp_path):
        text = b'# volts\r\nfloat64 a\r\n\r\nstring b\r\n'
        with closing(
            BagReader(write_mcap(tmp_path / 'a.mcap', [('/x', 'robot/msg/A', 'ros2msg', text, 'cdr')]))
        ) as reader:
            assert not reader.unreadable
            assert reader.store('robot/msg/A').fielddefs['robot/msg/A'][1][1][0] == 'b'


class TestUsualTypes:
    @pytest.mark.parametrize(
        'image', [('', b''), ('unknown', b''), ('ros2msg', b''), ('ros2msg', IMAGE_DEFINITION[:200]), ('ros2idl', b'?')]
    )
    def test_are_known_without_a_definition(self, tmp_path, image):
        beside = [('/info', 'std_msgs/msg/String', 'ros2msg', b'string data', 'cdr')]
        assert read(write_mcap(tmp_path / 'a.mcap', beside, image=image)) == (ALL[:5], [])

    def test_a_recorded_definition_goes_before_the_usual_one(self, tmp_path):
        """Foxy's Log has other constants; here a String has a second field."""
        kind, text = 'std_msgs/msg/String', b'string data\nuint32 number\n'
        with closing(BagReader(write_mcap(tmp_path / 'a.mcap', [('/x', kind, 'ros2msg', text, 'cdr')]))) as reader:
            assert [name for name, _ in reader.store(kind).fielddefs[kind][1]] == ['data', 'number']

    def test_bags_without_any_definitions(self, tmp_path):
        """Schema 3 of the databases and before had none."""
        bag = write_bag(tmp_path / 'bag', small_images())
        with closing(sqlite3.connect(bag / 'bag.db3')) as database:
            database.execute('DROP TABLE message_definitions')
            database.execute('DROP TABLE schema')
            database.execute('ALTER TABLE topics DROP COLUMN type_description_hash')
            database.commit()
        assert read(bag) == (ALL[:5], [])


class TestMcap:
    @pytest.mark.parametrize('profile', ['', 'ros1', 'px4'])
    def test_the_profile_does_not_decide(self, tmp_path, profile):
        assert read(write_mcap(tmp_path / 'a.mcap', profile=profile)) == (ALL[:5], [])

    @pytest.mark.parametrize(
        'options',
        [
            {'use_chunking': False},
            {'use_statistics': False},
            {'use_summary_offsets': False},
            {'repeat_channels': False},
            {'repeat_schemas': False},
            {'index_types': 0},
            {'compression': CompressionType.LZ4},
            {'compression': CompressionType.ZSTD, 'chunk_size': 64},
            {'compression': CompressionType.NONE, 'chunk_size': 64},
        ],
        ids=str,
    )
    def test_whatever_the_writer_leaves_out(self, tmp_path, options):
        if 'index_types' in options:
            from mcap.writer import IndexType

            options = {'index_types': IndexType.NONE}
        assert read(write_mcap(tmp_path / 'a.mcap', options=options)) == (ALL[:5], [])

    @pytest.mark.parametrize('chunk_size', [1, 500, 10**6])
    @pytest.mark.parametrize('use_chunking', [True, False])
    def test_messages_come_by_the_time_of_their_reception(self, tmp_path, chunk_size, use_chunking):
        with (tmp_path / 'a.mcap').open('wb') as stream:
            writer = McapWriter(stream, chunk_size=chunk_size, use_chunking=use_chunking)
            writer.start('ros2')
            schema = writer.register_schema('sensor_msgs/msg/Image', 'ros2msg', IMAGE_DEFINITION)
            channel = writer.register_channel('/image', 'cdr', schema)
            for received_ns in (3, 1, 2, 5, 4, 4, 9, 7, 8, 6):
                message = raw(NOISE[:2, :4], stamp_ns=received_ns)
                writer.add_message(channel, received_ns, bytes(STORE.serialize_cdr(message, message.__msgtype__)), 0)
            writer.finish()
        assert read(tmp_path / 'a.mcap') == ([1, 2, 3, 4, 4, 5, 6, 7, 8, 9], [])

# SPDX-License-Identifier: Apache-2.0
"""Recordings are opened in one way: whatever can be read of them is, whatever is beside it, and what is not is told."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest
import zstandard

from mtperception.errors import SourceError

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from bags import STORE, raw, write_bag
from full_disk import largest_file
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from mtperception.recording.bag_files import is_bag
from mtperception.recording.bag_reader import open_bag

COUNT = 150
"""Images of 14.4 kB of noise: with 2.2 MB, MCAP has three chunks of 768 KiB."""
NOISE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
IMAGE_DEFINITION = STORE.generate_msgdef('sensor_msgs/msg/Image', ros_version=2)[0].encode()
ALL = list(range(1, COUNT + 1))


def images(count=COUNT):
    return [('/image', raw(NOISE, stamp_ns=index + 1)) for index in range(count)]


def small_images(count=5):
    return [('/image', raw(NOISE[:2, :4], stamp_ns=index + 1)) for index in range(count)]


@pytest.fixture(params=list(StoragePlugin), ids=lambda plugin: plugin.name)
def plugin(request):
    return request.param


@pytest.fixture
def bag(plugin, tmp_path):
    return write_bag(tmp_path / 'walk', images(), plugin)


def storage(bag):
    (file,) = (path for path in bag.iterdir() if path.suffix != '.yaml')
    return file


def cut(bag, share):
    data = storage(bag).read_bytes()
    storage(bag).write_bytes(data[: int(share * len(data))])


def read(path, topic='/image'):
    """Stamps of the images on a topic, and the notes."""
    with open_bag(path) as reader:
        connections = [connection for connection in reader.connections if connection.topic == topic]
        stamps = [
            reader.deserialized(data, connection.kind).header.stamp.nanosec
            for connection, _, data in reader.messages(connections)
        ]
        return stamps, list(reader.notes)


class TestCutOff:
    @pytest.mark.parametrize('with_metadata', [True, False])
    def test_what_is_whole_is_read(self, bag, with_metadata):
        """Of a bag cut at 80 % no more than 120 images can be there; MCAP loses at most a chunk of 55 besides."""
        cut(bag, 0.8)
        if not with_metadata:
            (bag / 'metadata.yaml').unlink()
        stamps, notes = read(bag)
        assert 65 <= len(stamps) <= 120
        assert stamps == ALL[: len(stamps)]
        assert storage(bag).name in notes[0]
        assert 'not complete' in notes[0]

    def test_a_single_file_too(self, bag):
        cut(bag, 0.8)
        assert len(read(storage(bag))[0]) >= 65

    def test_the_bag_itself_is_not_touched(self, bag):
        cut(bag, 0.5)
        before = storage(bag).read_bytes()
        read(bag)
        assert storage(bag).read_bytes() == before
        assert sorted(path.name for path in bag.iterdir()) == sorted([storage(bag).name, 'metadata.yaml'])

    def test_space_set_aside_and_never_written_is_the_end(self, tmp_path):
        """What a power cut leaves: the file's length is right, its end is zeros."""
        bag = write_bag(tmp_path / 'bag', images(), StoragePlugin.MCAP)
        data = storage(bag).read_bytes()
        storage(bag).write_bytes(data[:-100_000] + bytes(100_000))
        assert len(read(bag)[0]) >= 65

    def test_an_empty_file_is_an_error_that_says_so(self, bag):
        storage(bag).write_bytes(b'')
        with pytest.raises(SourceError, match=f'{storage(bag).name}: nothing can be read: the file is empty'):
            read(bag)

    def test_a_part_that_is_lost_takes_no_other_along(self, tmp_path, plugin):
        first = write_bag(tmp_path / 'walk_0', small_images(), plugin)
        second = write_bag(tmp_path / 'walk_1', small_images(), plugin)
        folder = tmp_path / 'walk'
        folder.mkdir()
        shutil.copy(storage(first), folder)
        (folder / storage(second).name).write_bytes(b'lost')
        stamps, notes = read(folder)
        assert stamps == ALL[:5]
        assert any(storage(second).name in note for note in notes)


class TestNames:
    @pytest.mark.parametrize('name', ['run.bag', 'run #3', 'a[1]', '100%25', 'a b', 'q?x=1', 'grün', 'x.mcap', 'y.db3'])
    def test_mean_nothing(self, tmp_path, plugin, name):
        bag = write_bag(tmp_path / 'walk', small_images(), plugin)
        bag.rename(tmp_path / name)
        assert is_bag(tmp_path / name)
        assert read(tmp_path / name) == (ALL[:5], [])
        assert read(storage(tmp_path / name)) == (ALL[:5], [])

    @pytest.mark.parametrize('name', ['part #1', 'a%41', 'b?c'])
    def test_of_files_neither(self, tmp_path, plugin, name):
        bag = write_bag(tmp_path / 'walk', small_images(), plugin)
        file = storage(bag)
        moved = file.rename(file.with_name(name + file.suffix))
        assert read(moved) == (ALL[:5], [])
        (bag / 'metadata.yaml').unlink()
        assert read(bag) == (ALL[:5], [])

    @pytest.mark.parametrize('name', ['RUN{}', 'run{}.bak', 'run', 'run.mp4'])
    def test_a_file_is_a_bag_whatever_it_is_called(self, tmp_path, plugin, name):
        bag = write_bag(tmp_path / 'walk', small_images(), plugin)
        suffix = storage(bag).suffix.upper()
        file = storage(bag).rename(tmp_path / name.format(suffix))
        assert is_bag(file)
        assert read(file) == (ALL[:5], [])

    @pytest.mark.parametrize(('name', 'with_metadata'), [('RUN{}', False), ('run{}.active', True), ('run', True)])
    def test_and_in_a_folder(self, tmp_path, plugin, name, with_metadata):
        bag = write_bag(tmp_path / 'walk', small_images(), plugin)
        storage(bag).rename(bag / name.format(storage(bag).suffix.upper()))
        if not with_metadata:
            (bag / 'metadata.yaml').unlink()
        assert is_bag(bag)
        assert read(bag)[0] == ALL[:5]

    def test_what_a_file_is_its_first_bytes_say(self, tmp_path):
        bag = write_bag(tmp_path / 'walk', small_images(), StoragePlugin.MCAP)
        file = storage(bag).rename(bag / 'walk.db3')
        assert read(file)[0] == ALL[:5]

    def test_files_that_start_with_a_dot_are_not_part_of_it(self, tmp_path, plugin):
        bag = write_bag(tmp_path / 'walk', small_images(), plugin)
        (bag / 'metadata.yaml').unlink()
        (bag / f'._{storage(bag).name}').write_bytes(b'\0\5\26\7Mac OS X')
        (bag / '._metadata.yaml').write_bytes(b'\0\5\26\7Mac OS X')
        stamps, notes = read(bag)
        assert (stamps, notes) == (ALL[:5], [])

    def test_a_folder_of_such_files_alone_is_no_bag(self, tmp_path):
        (tmp_path / '._walk.db3').write_bytes(b'\0\5\26\7')
        assert not is_bag(tmp_path)
        with pytest.raises(SourceError, match='found nothing'):
            read(tmp_path)


class TestMetadata:
    """The storage says all that is needed."""

    def test_none(self, bag):
        (bag / 'metadata.yaml').unlink()
        assert read(bag) == (ALL, [])

    @pytest.mark.parametrize(
        ('old', 'new'),
        [
            ('message_count: 5', 'message_count: 99'),
            ('storage_identifier: ', 'storage_identifier: not'),
            ('version: 9', 'version: 99'),
            ('compression_mode: ', 'compression_mode: file #'),
            ('compression_format: ', 'compression_format: zip #'),
            ('type: sensor_msgs/msg/Image', 'type: sensor_msgs/msg/Imu'),
            ('name: /image', 'name: /other'),
            ('duration', 'length'),
            ('rosbag2_bagfile_information', '{broken'),
            ('rosbag2_bagfile_information', 'something_else'),
        ],
    )
    def test_that_lie(self, tmp_path, plugin, old, new):
        bag = write_bag(tmp_path / 'walk', small_images(), plugin)
        text = (bag / 'metadata.yaml').read_text()
        assert old in text
        (bag / 'metadata.yaml').write_text(text.replace(old, new))
        assert read(bag) == (ALL[:5], [])

    def test_that_name_a_file_as_it_was_before(self, tmp_path, plugin):
        bag = write_bag(tmp_path / 'walk', small_images(), plugin)
        storage(bag).rename(bag / f'drive{storage(bag).suffix}')
        stamps, notes = read(bag)
        assert stamps == ALL[:5]
        assert notes == [f'metadata.yaml lists walk{storage(bag).suffix}, found others: all are used']

    def test_a_last_part_that_is_not_listed_is_used(self, tmp_path):
        """A recorder that is killed has written down the parts before."""
        first = write_bag(tmp_path / 'walk_0', small_images(2))
        second = write_bag(tmp_path / 'walk_1', [('/image', raw(NOISE[:2, :4], stamp_ns=3))])
        shutil.copy(storage(second), first)
        stamps, notes = read(first)
        assert sorted(stamps) == [1, 2, 3]
        assert notes == ['walk_1.db3: not listed in metadata.yaml, but a part of this recording: used']

    def test_another_file_that_is_not_listed_is_passed_over(self, tmp_path):
        bag = write_bag(tmp_path / 'walk', small_images(2))
        converted = write_bag(tmp_path / 'copy', small_images(2), StoragePlugin.MCAP)
        shutil.copy(storage(converted), bag)
        assert read(bag) == ([1, 2], ['copy.mcap: not listed in metadata.yaml: skipped'])


class TestCompression:
    @pytest.mark.parametrize('mode', [CompressionMode.MESSAGE, CompressionMode.FILE])
    @pytest.mark.parametrize('with_metadata', [True, False])
    def test_by_message_and_by_file(self, tmp_path, plugin, mode, with_metadata):
        bag = write_bag(tmp_path / 'walk', small_images(), plugin, mode)
        if not with_metadata:
            (bag / 'metadata.yaml').unlink()
        assert read(bag) == (ALL[:5], [])
        assert read(storage(bag)) == (ALL[:5], [])

    def compressed(self, bag, frames=1, keeps=False):
        """The storage file of a bag compressed beside it, in several frames as parallel compressors do."""
        file = storage(bag)
        data, size = file.read_bytes(), -(-file.stat().st_size // frames)
        pieces = [zstandard.compress(data[at : at + size]) for at in range(0, len(data), size)]
        made = file.with_name(f'{file.name}.zst')
        made.write_bytes(b''.join(pieces))
        if not keeps:
            file.unlink()
        return made

    @pytest.mark.parametrize('frames', [1, 3])
    def test_by_a_user(self, tmp_path, plugin, frames):
        bag = write_bag(tmp_path / 'walk', small_images(), plugin)
        made = self.compressed(bag, frames)
        assert is_bag(bag)
        assert is_bag(made)
        assert read(bag) == (ALL[:5], [])
        assert read(made) == (ALL[:5], [])

    def test_a_file_that_is_there_both_ways_is_read_once(self, tmp_path, plugin):
        bag = write_bag(tmp_path / 'walk', small_images(), plugin)
        file = storage(bag)
        made = self.compressed(bag, keeps=True)
        assert read(bag) == (ALL[:5], [f'{made.name}: skipped, its decompressed file is used'])
        assert file.exists()

    def test_of_a_file_that_is_cut_off_what_comes_before_is_used(self, tmp_path, plugin):
        bag = write_bag(tmp_path / 'walk', images(), plugin)
        made = self.compressed(bag, frames=20)
        made.write_bytes(made.read_bytes()[: made.stat().st_size * 4 // 5])
        stamps, notes = read(bag)
        assert 50 <= len(stamps) < COUNT
        assert stamps == ALL[: len(stamps)]
        cut_off = 'cannot be decompressed completely: the file is truncated. The part before it is used'
        assert notes[0] == f'{made.name}: {cut_off}'

    def test_a_part_that_is_no_longer_zstd_takes_no_other_along(self, tmp_path, plugin):
        bag = write_bag(tmp_path / 'walk_0', small_images(), plugin)
        made = self.compressed(bag)
        damaged = made.with_name(made.name.replace('walk_0', 'walk_1'))
        damaged.write_bytes(b'\x28\xb5\x2f\xfd nothing of the kind')
        stamps, notes = read(bag)
        assert stamps == ALL[:5]
        assert any(note.startswith(f'{damaged.name}: cannot be decompressed: ') for note in notes)

    def test_a_file_that_is_cut_off_is_an_error_that_names_it(self, tmp_path, plugin):
        bag = write_bag(tmp_path / 'walk', images(), plugin, CompressionMode.FILE)
        storage(bag).write_bytes(b'\x28\xb5\x2f\xfd nothing of the kind')
        with pytest.raises(SourceError, match=rf'{storage(bag).name}: cannot be decompressed: .*zstd -d'):
            read(bag)

    def test_without_room_for_the_copy_the_error_says_where(self, tmp_path, plugin):
        bag = write_bag(tmp_path / 'walk', images(), plugin, CompressionMode.FILE)
        with largest_file(1000), pytest.raises(SourceError, match=r'walk.*must be copied to .*failed: .*TMPDIR'):
            read(bag)


class TestWriteAheadLog:
    """`ros2 bag record --storage-preset-profile resilient`, killed: the newest messages are in the log alone."""

    def killed(self, tmp_path, before_the_log):
        """Five images, the first `before_the_log` of which are in the database itself."""
        bag = write_bag(tmp_path / 'walk', small_images())
        file, kept = bag / 'walk.db3', tmp_path / 'kept'
        kept.mkdir()
        with closing(sqlite3.connect(file)) as database:
            database.execute('PRAGMA journal_mode = WAL')
            rows = database.execute('SELECT topic_id, timestamp, data FROM messages ORDER BY id').fetchall()
            database.execute('DELETE FROM messages')
            for row in rows[:before_the_log]:
                database.execute('INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)', row)
            database.commit()
            database.execute('PRAGMA wal_checkpoint(TRUNCATE)')
            for row in rows[before_the_log:]:
                database.execute('INSERT INTO messages (topic_id, timestamp, data) VALUES (?, ?, ?)', row)
            database.commit()
            for path in (file, file.with_name('walk.db3-wal'), file.with_name('walk.db3-shm')):
                shutil.copy(path, kept)
        return kept

    @pytest.mark.parametrize('before_the_log', [0, 2])
    def test_is_read(self, tmp_path, before_the_log):
        kept = self.killed(tmp_path, before_the_log)
        content = {path.name: path.read_bytes() for path in kept.iterdir()}
        assert read(kept) == (ALL[:5], [])
        assert read(kept / 'walk.db3') == (ALL[:5], [])
        assert {path.name: path.read_bytes() for path in kept.iterdir()} == content

    def test_and_read_beside_files_that_nobody_may_write(self, tmp_path):
        kept = self.killed(tmp_path, 2)
        for path in kept.iterdir():
            path.chmod(0o444)
        kept.chmod(0o555)
        try:
            assert read(kept) == (ALL[:5], [])
        finally:
            kept.chmod(0o755)


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


def test_how_much_is_lost_of_a_recording_in_parts(tmp_path):
    """The second of two parts is cut off: of 300 images, as metadata.yaml has it, less than 300 are there."""
    first = write_bag(tmp_path / 'walk_0', images())
    second = write_bag(tmp_path / 'walk_1', images())
    (first / 'walk_1.db3').write_bytes(storage(second).read_bytes()[:1_000_000])
    text = (first / 'metadata.yaml').read_text()
    (first / 'metadata.yaml').write_text(text.replace(f'message_count: {COUNT}', f'message_count: {2 * COUNT}'))
    with open_bag(first) as reader:
        (connection,) = reader.connections
        assert connection.count == 2 * COUNT
        assert COUNT < len(list(reader.messages([connection]))) < 2 * COUNT


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
        with open_bag(path) as reader:
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
        with open_bag(write_mcap(tmp_path / 'a.mcap', [('/x', 'robot/msg/A', 'ros2msg', text, 'cdr')])) as reader:
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
        with open_bag(write_mcap(tmp_path / 'a.mcap', [('/x', kind, 'ros2msg', text, 'cdr')])) as reader:
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


class TestWhatIsNoBag:
    def test_a_file_of_another_kind(self, bag):
        storage(bag).write_bytes(b'not what its name says' * 100)
        with pytest.raises(SourceError, match=r'not an MCAP file|not a database'):
            read(bag)

    def test_a_folder_without_storage(self, tmp_path):
        (tmp_path / 'notes.txt').touch()
        with pytest.raises(SourceError, match=r'expected files that end in .mcap or .db3, found notes.txt'):
            read(tmp_path)

    def test_nothing(self, tmp_path):
        with pytest.raises(SourceError, match='no such file or folder'):
            read(tmp_path / 'nothing')

    @pytest.mark.parametrize('name', ['old.bag', 'old', 'in_a_folder/old.bag'])
    def test_a_bag_of_ros_1(self, tmp_path, name):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b'#ROSBAG V2.0\n')
        path = tmp_path / name.partition('/')[0]
        assert is_bag(path)
        with pytest.raises(SourceError, match=r'a ROS 1 bag: .*`rosbags-convert`'):
            read(path)


def test_a_message_that_says_it_is_compressed_and_is_not_is_refused_alone(tmp_path):
    bag = write_bag(tmp_path / 'bag', small_images())
    with closing(sqlite3.connect(bag / 'bag.db3')) as database:
        database.execute('UPDATE messages SET data = ? WHERE id = 2', (b'\x28\xb5\x2f\xfd nothing',))
        huge = zstandard.ZstdCompressor().compress(bytes(1000))
        database.execute('UPDATE messages SET data = ? WHERE id = 3', (huge[:6] + b'\xff' * 8,))
        database.commit()
    with open_bag(bag) as reader:
        data = [data for _, _, data in reader.messages(reader.connections)]
    assert len(data) == 5


@pytest.mark.parametrize('missing', ['rosbags', 'mcap', 'scipy'])
def test_without_a_library_the_error_names_the_extra(tmp_path, missing):
    bag = write_bag(tmp_path / 'bag', small_images())
    code = (
        f'import sys; sys.modules[{missing!r}] = None\n'
        'from pathlib import Path\n'
        'from mtperception.recording.recording import Recording\n'
        f'Recording(Path({str(bag)!r}))'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert 'SourceError' in done.stderr
    assert 'pip install "mtperception[bags]"' in done.stderr

# SPDX-License-Identifier: Apache-2.0
"""Recordings are opened in one way: whatever can be read of them is, whatever is beside it, and what is not is told."""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest
import zstandard

from mtperception.errors import SourceError

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from bags import write_bag
from full_disk import largest_file
from noise_bags import ALL, COUNT, images, read, small_images, storage
from rosbags.rosbag2 import CompressionMode, StoragePlugin

from mtperception.recording.bag_files import is_bag
from mtperception.recording.bag_reader import BagReader


def cut(bag, share):
    data = storage(bag).read_bytes()
    storage(bag).write_bytes(data[: int(share * len(data))])


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

    @pytest.mark.parametrize('number', [0, 2])
    @pytest.mark.parametrize('damage', [lambda data: b'\x28\xb5\x2f\xfd nothing of the kind', lambda data: data[:60]])
    def test_a_part_that_is_no_longer_zstd_takes_no_other_along(self, tmp_path, plugin, number, damage):
        bag = write_bag(tmp_path / 'walk_1', small_images(), plugin)
        made = self.compressed(bag)
        damaged = made.with_name(made.name.replace('walk_1', f'walk_{number}'))
        damaged.write_bytes(damage(made.read_bytes()))
        stamps, notes = read(bag)
        assert stamps == ALL[:5]
        assert any(note.startswith(f'{damaged.name}: cannot be decompressed') for note in notes)

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


def test_how_much_is_lost_of_a_recording_in_parts(tmp_path):
    """The second of two parts is cut off: of 300 images, as metadata.yaml has it, less than 300 are there."""
    first = write_bag(tmp_path / 'walk_0', images())
    second = write_bag(tmp_path / 'walk_1', images())
    (first / 'walk_1.db3').write_bytes(storage(second).read_bytes()[:1_000_000])
    text = (first / 'metadata.yaml').read_text()
    (first / 'metadata.yaml').write_text(text.replace(f'message_count: {COUNT}', f'message_count: {2 * COUNT}'))
    with closing(BagReader(first)) as reader:
        (connection,) = reader.connections
        assert connection.count == 2 * COUNT
        assert COUNT < len(list(reader.messages([connection]))) < 2 * COUNT


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
    with closing(BagReader(bag)) as reader:
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

# SPDX-License-Identifier: Apache-2.0
"""Bags that are damaged, cut off or no bags: what can be read is read, and what is wrong is said."""

import sqlite3
import struct
from contextlib import closing

import numpy as np
import pytest

from mtperception.errors import SourceError

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from mcap.opcode import Opcode
from recordings import (
    DEPTH,
    IMAGE,
    MS,
    color,
    compressed,
    depth_32f,
    frames_of,
    image,
    odometry,
    transforms,
    translation,
    write_recording,
)
from rosbags.rosbag2 import StoragePlugin

from mtperception.recording.recording import Recording

MCAP_MAGIC = b'\x89MCAP0\r\n'


def test_a_broken_image_is_counted_and_the_others_are_scored(tmp_path):
    broken = image(color(1), 200 * MS)
    broken.step = 5
    messages = [(IMAGE, image(color(0), 100 * MS)), (IMAGE, broken), (IMAGE, image(color(2), 300 * MS))]
    frames, notes, _ = frames_of(write_recording(tmp_path / 'bag', messages))
    assert [frame.index for frame in frames] == [0, 2]
    assert notes == ('images: 1 refused, the first: found step 5, expected 12 or more for 4 pixels of rgb8',)


def test_broken_depth_leaves_the_image(tmp_path):
    messages = [(IMAGE, image(color(0), 10**9)), (DEPTH, compressed(bytes(40), 10**9, '16UC1; compressedDepth png'))]
    ((frame,), notes, _) = frames_of(write_recording(tmp_path / 'bag', messages))
    assert frame.depth is None
    assert notes[0].startswith('depth: 1 refused, the first: found 28 bytes starting 00 00')


def noisy_images(count, levels=256):
    """Images that compression makes smaller by as much as they have less than 256 levels."""
    random = np.random.default_rng(0)
    for index in range(count):
        yield IMAGE, image(random.integers(0, levels, (96, 96, 3), np.uint8), (1 + index) * 100 * MS)


@pytest.mark.parametrize('plugin', list(StoragePlugin), ids=lambda plugin: plugin.name)
def test_a_cut_off_recording_is_read_as_far_as_it_goes(tmp_path, plugin):
    """80 images of 27.6 kB, of which at most 80 % are there; MCAP can lose a chunk of 768 KiB, or 29, besides."""
    path = write_recording(tmp_path / 'bag', noisy_images(80), plugin)
    (file,) = (file for file in path.iterdir() if file.suffix != '.yaml')
    file.write_bytes(file.read_bytes()[: int(0.8 * file.stat().st_size)])
    frames, notes, _ = frames_of(path)
    assert 25 <= len(frames) <= 64
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert 'not complete: ' in notes[0]


def test_a_record_that_says_it_is_larger_than_all_memory(tmp_path):
    """In a chunk without a checksum, as some recorders write them."""
    path = write_recording(tmp_path / 'bag', noisy_images(80), StoragePlugin.MCAP)
    (file,) = path.glob('*.mcap')
    data = bytearray(file.read_bytes())
    chunks, at = [], len(MCAP_MAGIC)
    while at < len(data) - len(MCAP_MAGIC):
        opcode, length = struct.unpack_from('<BQ', data, at)
        chunks += [at + 9] * (opcode == Opcode.CHUNK)
        at += 9 + length
    chunk = chunks[len(chunks) // 2]
    (name_length,) = struct.unpack_from('<I', data, chunk + 28)
    assert name_length == 0, 'not compressed'
    struct.pack_into('<I', data, chunk + 24, 0)  # no checksum
    struct.pack_into('<Q', data, chunk + 40 + 1, 2**64 - 1)  # of the first record, behind its opcode
    file.write_bytes(data)
    frames, notes, _ = frames_of(path)
    assert 0 < len(frames) < 80
    assert any('cannot be read at byte' in note for note in notes)


def test_a_bag_that_is_damaged_in_the_middle_is_read_all_around_that(tmp_path):
    path = write_recording(tmp_path / 'bag', noisy_images(80, levels=4), StoragePlugin.MCAP, 'STORAGE')
    (file,) = path.glob('*.mcap')
    data = bytearray(file.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    file.write_bytes(data)
    frames, notes, _ = frames_of(path)
    assert 0 < len(frames) < 80
    assert (frames[0].stamp_ns, frames[-1].stamp_ns) == (100 * MS, 8000 * MS)
    assert any('cannot be read at byte' in note for note in notes)
    assert any(f'{len(frames)} of 80 messages' in note for note in notes)


class TestADatabaseIsReadInOneOrder:
    """Whatever damage is found when: stamps, pairs and poses are found before the frames, by position."""

    SIZE, PAGE = (96, 96), 4096

    def messages(self, count, first=1):
        """Images of noise, larger than a page of the database, and depth that says which one it belongs to."""
        random = np.random.default_rng(first)
        for index in range(first, first + count):
            yield IMAGE, image(random.integers(0, 256, (*self.SIZE, 3), np.uint8), index * 100 * MS)
            yield DEPTH, depth_32f(np.full(self.SIZE, index, np.float32), index * 100 * MS)

    def changed(self, path, statement):
        with closing(sqlite3.connect(path)) as database:
            database.execute(statement)
            database.commit()

    def overwritten(self, path, page, data):
        """Pages are counted from 0."""
        with path.open('r+b') as file:
            file.seek(page * self.PAGE)
            file.write(data)

    def indices(self, path):
        """Which images were read, by their own header, each with the depth and the stamp that belong to it."""
        frames, notes, _ = frames_of(path)
        own = [(frame.header.stamp.sec * 10**9 + frame.header.stamp.nanosec) // (100 * MS) for frame in frames]
        assert [frame.stamp_ns // (100 * MS) for frame in frames] == own
        depths = {index: frame.depth[0, 0] for index, frame in zip(own, frames, strict=True) if frame.depth is not None}
        assert len(depths) >= len(own) - 1  # of the last image before a cut it can be missing
        assert all(index == depth for index, depth in depths.items())
        return own, notes

    def test_with_damage_that_is_found_while_reading(self, tmp_path):
        """Written to the database the other way round; only the bytes of image 5 are damaged."""
        messages = list(self.messages(10))
        path = write_recording(tmp_path / 'bag', messages) / 'bag.db3'
        self.changed(path, 'UPDATE messages SET timestamp = 1000000000000 - id')
        pixels = messages[8][1].data.tobytes()
        page = path.read_bytes().index(pixels[12000:12100]) // self.PAGE
        self.overwritten(path, page, b'\xff' * 4)  # where the message goes on
        own, notes = self.indices(path.parent)
        assert own == [10, 9, 8, 7, 6, 4, 3, 2, 1]
        assert notes[0].startswith('bag.db3: cannot be read completely: ')
        assert notes[1] == f'{IMAGE}: 9 of 10 messages could be read'

    @pytest.mark.parametrize('value', ["'text'", '0.5', '123456789012', '7'])
    def test_with_a_message_that_is_no_bytes(self, value, tmp_path):
        """A flipped bit in a record changes its type."""
        path = write_recording(tmp_path / 'bag', self.messages(5)) / 'bag.db3'
        self.changed(path, f'UPDATE messages SET data = {value} WHERE id = 5')  # image 3
        own, notes = self.indices(path.parent)
        assert own == [1, 2, 4, 5]
        assert notes[0].startswith('bag.db3: cannot be read completely: a message is ')

    def test_without_its_index_of_times(self, tmp_path):
        path = write_recording(tmp_path / 'bag', self.messages(10)) / 'bag.db3'
        self.changed(path, 'UPDATE messages SET timestamp = 1000000000000 - id')
        with closing(sqlite3.connect(path)) as database:
            ((root,),) = database.execute("SELECT rootpage FROM sqlite_master WHERE type = 'index'")
        self.overwritten(path, root - 1, bytes(self.PAGE))
        assert self.indices(path.parent) == (list(range(10, 0, -1)), ())

    def test_with_other_parts_of_the_recording(self, tmp_path):
        """The first part is cut off, and a transform in it was written first and received last."""
        late = ('/tf', transforms(('map', 'base', translation(), 1)))
        first = write_recording(tmp_path / 'walk_0', [late, *self.messages(20)]) / 'walk_0.db3'
        second = write_recording(tmp_path / 'walk_1', self.messages(5, first=21)) / 'walk_1.db3'
        self.changed(first, 'UPDATE messages SET timestamp = 10000000000000 WHERE id = 1')
        first.write_bytes(first.read_bytes()[: first.stat().st_size * 4 // 5])
        second.rename(first.with_name('walk_1.db3'))
        own, notes = self.indices(first.parent)
        assert set(range(21, 26)) < set(own)
        assert own != sorted(own)  # both parts begin at the same time
        assert any(note.startswith('walk_0.db3: not complete: ') for note in notes)


def empty(path):
    write_recording(path, [])


def no_bag(path):
    path.mkdir()
    (path / 'readme.txt').touch()


def not_what_it_says(path):
    path.mkdir()
    (path / 'walk.mcap').write_bytes(b'hello' * 100)


def hardly_begun(path):
    write_recording(path, [(IMAGE, image(color(0), 1))], StoragePlugin.MCAP)
    (file,) = path.glob('*.mcap')
    file.write_bytes(file.read_bytes()[:100])


def only_broken_images(path):
    write_recording(path, [(IMAGE, compressed(b'nothing', 1, 'jpeg'))])


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (empty, 'no topic with colour or grey images.*found no topic'),
        (no_bag, 'expected files that end in .mcap or .db3, found readme.txt'),
        (not_what_it_says, 'not an MCAP file'),
        (hardly_begun, 'no topic with colour or grey images'),
        (only_broken_images, f'no topic with colour or grey images: {IMAGE}: found neither'),
        (lambda path: None, 'no such file or folder'),
    ],
)
def test_what_is_no_recording_is_an_error_that_says_so(tmp_path, make, message):
    make(tmp_path / 'walk')
    with pytest.raises(SourceError, match=message) as refused:
        Recording(tmp_path / 'walk')
    assert str(tmp_path / 'walk') in str(refused.value)


def test_what_no_recorder_writes_is_not_to_be_mended(tmp_path):
    no_bag(tmp_path / 'walk')
    with pytest.raises(SourceError) as refused:
        Recording(tmp_path / 'walk')
    assert 'mend' not in str(refused.value)


def test_a_ros_1_bag_is_an_error_that_says_how_to_convert_it(tmp_path):
    (tmp_path / 'old.bag').write_bytes(b'#ROSBAG V2.0\n')
    with pytest.raises(SourceError, match='rosbags-convert'):
        Recording(tmp_path / 'old.bag')


def test_a_damaged_pose_is_told_and_takes_no_image_along(tmp_path):
    pixels = image(np.zeros((2, 4, 3), np.uint8), 10**12)
    path = write_recording(tmp_path / 'bag', [(IMAGE, pixels), ('/odom', odometry(translation(), 10**12))])
    with closing(sqlite3.connect(path / 'bag.db3')) as database:
        database.execute('UPDATE messages SET data = substr(data, 1, 20) WHERE id = 2')
        database.commit()
    with Recording(path) as recording:
        assert len(list(recording.frames())) == 1
        assert any(note.startswith('/odom: ') for note in recording.notes)


@pytest.mark.parametrize(
    'wrong', [translation(x=np.nan), translation(x=np.inf), np.zeros((4, 4))], ids=['nan', 'inf', 'zeros']
)
def test_poses_that_are_none_are_told_and_not_used(tmp_path, wrong):
    """Trackers that have lost track send zeros, which is no rotation."""
    messages = [(IMAGE, image(color(0), 150 * MS)), ('/odom', odometry(wrong, 140 * MS, child='camera'))]
    messages += [('/odom', odometry(translation(x=2), stamp * MS, child='camera')) for stamp in (100, 200)]
    messages += [('/tf', transforms(('odom', 'base', wrong, 150 * MS)))]
    ((frame,), (note,), _) = frames_of(write_recording(tmp_path / 'bag', messages))
    assert frame.T_world_camera[0, 3] == 2
    assert note.startswith('/odom: found the pose [')


def test_what_was_refused_stays_known_when_the_frames_are_gone_through_again(tmp_path):
    broken = image(color(1), 200 * MS)
    broken.step = 5
    path = write_recording(tmp_path / 'bag', [(IMAGE, image(color(0), 100 * MS)), (IMAGE, broken)])
    with Recording(path) as recording:
        list(recording.frames())
        notes = recording.notes
        assert len(notes) == 1
        next(recording.frames())
        assert recording.notes == notes

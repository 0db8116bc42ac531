# SPDX-License-Identifier: Apache-2.0
"""Which files of a folder are a recording: by content, whatever they are called or metadata.yaml says."""

import shutil

import pytest
import zstandard

from mtperception.errors import SourceError

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from bags import raw, write_bag
from noise_bags import ALL, NOISE, read, small_images, storage
from rosbags.rosbag2 import StoragePlugin

from mtperception.recording.bag_files import is_bag


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

    def test_a_data_set_or_images_with_a_bag_among_them_are_none(self, tmp_path, plugin):
        bag = write_bag(tmp_path / 'walk', small_images(), plugin)
        (bag / 'dataset.json').write_text('{"rgb": "{id}.png"}')
        assert not is_bag(bag)
        (tmp_path / 'frames').mkdir()
        (tmp_path / 'frames' / 'run.bag').write_bytes(b'#ROSBAG V2.0')
        assert is_bag(tmp_path / 'frames')  # and is refused as one of ROS 1
        (tmp_path / 'frames' / '0001.png').touch()
        assert not is_bag(tmp_path / 'frames')


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
        assert notes == [f'metadata.yaml lists walk{storage(bag).suffix}, found others: these are used']

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


class TestSeveralRecordingsInAFolder:
    """Without metadata.yaml, which says what belongs together."""

    APART = 'to read them apart, name one file, or give each to replay-many'

    def folder(self, tmp_path, **bags):
        """A folder with the storage files of bags, by name: which storage, and stamps."""
        made = tmp_path / 'folder'
        made.mkdir()
        for name, (plugin, stamps) in bags.items():
            messages = [('/image', raw(NOISE[:2, :4], stamp_ns=stamp)) for stamp in stamps]
            file = storage(write_bag(tmp_path / name, messages, plugin))
            file.rename(made / f'{name.removesuffix("_again")}{file.suffix}')
        return made

    def test_are_named(self, tmp_path, plugin):
        folder = self.folder(tmp_path, monday=(plugin, [1]), tuesday_0=(plugin, [2]), tuesday_1=(plugin, [3]))
        suffix = next(folder.iterdir()).suffix
        names = ', '.join(f'{name}{suffix}' for name in ('monday', 'tuesday_0', 'tuesday_1'))
        assert read(folder) == ([1, 2, 3], [f'found files of 2 recordings, read as one: {names}; {self.APART}'])

    def test_but_not_endlessly(self, tmp_path):
        folder = self.folder(tmp_path, **{f'day{number}': (StoragePlugin.MCAP, [number]) for number in range(1, 11)})
        _, (note,) = read(folder)
        assert 'found files of 10 recordings' in note
        assert 'day8.mcap, ...;' in note

    def test_parts_of_one_are_no_several(self, tmp_path, plugin):
        assert read(self.folder(tmp_path, walk_0=(plugin, [1]), walk_1=(plugin, [2]))) == ([1, 2], [])

    def test_a_bag_beside_its_conversion_is_read_once(self, tmp_path):
        bags = {'walk': (StoragePlugin.SQLITE3, [1, 2]), 'walk_again': (StoragePlugin.MCAP, [1, 2])}
        folder = self.folder(tmp_path, **bags)
        assert read(folder) == ([1, 2], ['walk.db3: skipped, walk.mcap of the same name is used'])

    def test_in_parts_too(self, tmp_path):
        bags = {f'walk_{number}': (StoragePlugin.SQLITE3, [number + 1]) for number in range(2)}
        folder = self.folder(tmp_path, **bags, walk_0_again=(StoragePlugin.MCAP, [1, 2]))
        notes = [f'walk_{number}.db3: skipped, walk_0.mcap of the same name is used' for number in range(2)]
        assert read(folder) == ([1, 2], notes)

    def test_compressed_too(self, tmp_path):
        bags = {'walk': (StoragePlugin.SQLITE3, [1, 2]), 'walk_again': (StoragePlugin.MCAP, [1, 2])}
        folder = self.folder(tmp_path, **bags)
        for name in ('walk.db3', 'walk.mcap'):
            (folder / f'{name}.zst').write_bytes(zstandard.compress((folder / name).read_bytes()))
            (folder / name).unlink()
        assert read(folder) == ([1, 2], ['walk.db3.zst: skipped, walk.mcap.zst of the same name is used'])

    def test_a_conversion_that_never_began_is_none(self, tmp_path):
        folder = self.folder(tmp_path, walk=(StoragePlugin.SQLITE3, [1, 2]))
        (folder / 'walk.mcap').touch()
        stamps, notes = read(folder)
        assert stamps == [1, 2]
        assert any(note.startswith('walk.mcap: nothing can be read') for note in notes)

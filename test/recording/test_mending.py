"""Recordings that were cut off: what is whole in them is read."""

import numpy as np
import pytest

from mtperception.errors import SourceError

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from bags import raw, write_bag
from rosbags.rosbag2 import StoragePlugin

from mtperception.recording.bag_file import BrokenBagError, open_bag
from mtperception.recording.mending import mended_bag

COUNT = 150
"""Images of 14.4 kB of noise: with 2.2 MB, MCAP has three chunks of 768 KiB."""


@pytest.fixture(params=list(StoragePlugin), ids=lambda plugin: plugin.name)
def bag(request, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    messages = [('/image', raw(noise, stamp_ns=index + 1)) for index in range(COUNT)]
    return write_bag(tmp_path / 'walk', messages, request.param)


def storage(bag):
    (file,) = (path for path in bag.iterdir() if path.suffix != '.yaml')
    return file


def cut(bag, share):
    data = storage(bag).read_bytes()
    storage(bag).write_bytes(data[: int(share * len(data))])


def stamps(paths):
    with open_bag(*paths) as reader:
        return [
            reader.deserialize(data, connection.msgtype).header.stamp.nanosec
            for connection, _, data in reader.messages()
        ]


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / 'mended'
    made.mkdir()
    return made


@pytest.mark.parametrize('with_metadata', [True, False])
def test_what_is_whole_in_a_cut_off_recording_is_read(bag, folder, with_metadata):
    """Of a bag of 150 images cut at 80 %: no more than 120 can be there; MCAP loses at most a chunk of 55 besides."""
    cut(bag, 0.8)
    if not with_metadata:
        (bag / 'metadata.yaml').unlink()
    with pytest.raises(BrokenBagError), open_bag(bag):
        pass
    got = stamps(mended_bag(bag, folder))
    assert 65 <= len(got) <= 120
    assert got == list(range(1, len(got) + 1))


def test_a_single_file_too(bag, folder):
    cut(bag, 0.8)
    assert len(stamps(mended_bag(storage(bag), folder))) >= 65


def test_without_metadata_a_whole_file_is_read_as_it_is(bag, folder):
    (bag / 'metadata.yaml').unlink()
    paths = mended_bag(bag, folder)
    assert [path.resolve() for path in paths] == [storage(bag)]
    assert len(stamps(paths)) == COUNT


def test_broken_metadata_are_done_without(bag, folder):
    (bag / 'metadata.yaml').write_text('rosbag2_bagfile_information: {version: 9}\n')
    assert len(stamps(mended_bag(bag, folder))) == COUNT


def test_the_bag_itself_is_not_touched(bag, folder):
    cut(bag, 0.5)
    before = storage(bag).read_bytes()
    mended_bag(bag, folder)
    assert storage(bag).read_bytes() == before
    assert sorted(path.name for path in bag.iterdir()) == sorted([storage(bag).name, 'metadata.yaml'])


def test_space_set_aside_and_never_written_is_the_end(tmp_path, folder):
    """What a power cut leaves: the file's length is right, its end is zeros."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    bag = write_bag(tmp_path / 'bag', [('/image', raw(noise, i + 1)) for i in range(COUNT)], StoragePlugin.MCAP)
    data = storage(bag).read_bytes()
    storage(bag).write_bytes(data[:-100_000] + bytes(100_000))
    assert len(stamps(mended_bag(bag, folder))) >= 65


def test_a_file_of_another_kind_is_an_error_that_says_so(bag, folder):
    storage(bag).write_bytes(b'not what its name says' * 100)
    with pytest.raises(SourceError, match=r'not an MCAP file|nothing can be read'):
        mended_bag(bag, folder)


def test_a_folder_without_storage_is_an_error_that_lists_what_is_there(tmp_path, folder):
    (tmp_path / 'bag').mkdir()
    (tmp_path / 'bag' / 'notes.txt').touch()
    with pytest.raises(SourceError, match=r'expected files that end in .mcap or .db3, found notes.txt'):
        mended_bag(tmp_path / 'bag', folder)

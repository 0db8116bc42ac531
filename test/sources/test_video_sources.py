# SPDX-License-Identifier: Apache-2.0
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from videos import turned_right, with_durations

from mtperception.errors import SourceError
from mtperception.media import VideoWriter
from mtperception.sources import SourceOptions, open_source
from mtperception.sources.timeline import timeline


@pytest.fixture
def video(tmp_path):
    """Four frames of 64x48 at 20 Hz, each one brighter than the one before."""
    path = tmp_path / 'walk.mp4'
    with VideoWriter(path, 20) as writer:
        for value in (40, 90, 140, 190):
            writer.write(np.full((48, 64, 3), (value, 20, 20), np.uint8))
    return path


def test_all_frames_in_order_with_their_time(video):
    source = open_source(str(video))
    frames = list(source)
    assert [frame.stamp_ns for frame in frames] == [0, 50_000_000, 100_000_000, 150_000_000]
    assert [frame.name for frame in frames] == ['000000', '000001', '000002', '000003']
    np.testing.assert_allclose([frame.image[..., 0].mean() for frame in frames], [40, 90, 140, 190], atol=6)
    assert frames[0].image[..., 2].mean() < 40  # red first
    assert (source.count, source.rate, source.is_stream, frames[0].intrinsics) == (4, 20, True, None)
    assert '20 frames per second' in source.description


def test_a_rate_that_varies_gives_the_stamps_of_the_file(video):
    """As phones record: 1/20 s, then half a second, then 1/20 s."""
    content = video.read_bytes()
    unit = struct.unpack_from('>IIII', content, content.index(b'stts') + 4)[3]
    video.write_bytes(with_durations(content, [unit, 10 * unit, unit, unit]))
    source = open_source(str(video))
    assert [frame.stamp_ns for frame in source] == [0, 50_000_000, 550_000_000, 600_000_000]
    assert [due for due, _ in timeline(source)] == [0, 0.05, 0.55, 0.6]


@pytest.mark.parametrize(
    ('durations', 'milliseconds'), [((0, 0, 1, 1), (0, 25, 50, 75)), ((1, 0, 0, 1), (0, 50, 75, 100))]
)
def test_stamps_that_stand_still_go_on_at_the_rate(video, durations, milliseconds):
    """Images of no duration: the file gives several the same stamp. Four in a tenth of a second are 40 per second."""
    content = video.read_bytes()
    unit = struct.unpack_from('>IIII', content, content.index(b'stts') + 4)[3]
    video.write_bytes(with_durations(content, [unit * duration for duration in durations]))
    source = open_source(str(video))
    assert source.rate == 40
    assert [frame.stamp_ns for frame in source] == [each * 1_000_000 for each in milliseconds]


@pytest.mark.parametrize('name', ['a[1].mp4', 'run #3.mp4', 'walk_%04d.mp4', '12:30 walk.mp4', 'what?.mp4', 'ü ß.mp4'])
def test_names_mean_nothing(name, tmp_path, monkeypatch):
    """FFmpeg takes what is before a colon for a protocol, others take a pattern for a row of images."""
    monkeypatch.chdir(tmp_path)
    with VideoWriter(Path(name), 10) as writer:
        for value in (40, 90):
            writer.write(np.full((48, 64, 3), (value, 20, 20), np.uint8))
    assert len(list(open_source(name))) == 2


def test_each_iteration_starts_again(video):
    source = open_source(str(video), SourceOptions(rate=5))
    assert len(list(source)) == len(list(source)) == 4


def test_a_video_that_is_cut_off_is_told(tmp_path):
    path = tmp_path / 'walk.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 20, (64, 48))
    for value in range(40):
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()
    whole = open_source(str(path))
    assert len(list(whole)) == 40
    assert not whole.notes
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    cut = open_source(str(path))
    found = len(list(cut))
    assert 0 < found < 30
    assert cut.notes == (f'{found} of 40 images could be read: is it truncated?',)


def test_a_file_that_is_no_video_is_an_error_that_names_it(tmp_path):
    path = tmp_path / 'notes.mp4'
    path.write_bytes(b'not a video')
    with pytest.raises(SourceError, match=r'notes\.mp4: not a video.*truncated.*\.png.*\.mcap'):
        open_source(str(path))


def test_an_empty_file_is_said_to_be_empty(tmp_path):
    (tmp_path / 'walk.mp4').touch()
    with pytest.raises(SourceError, match=r'walk\.mp4: the file is empty: expected a video'):
        open_source(str(tmp_path / 'walk.mp4'))


def test_a_phone_that_was_held_upright_gives_upright_images(tmp_path):
    """It says how the images are to be turned; what is wide in the file is high then, with red at the top."""
    wide = np.zeros((48, 96, 3), np.uint8)
    wide[:, :48], wide[:, 48:] = (200, 0, 0), (0, 0, 200)
    with VideoWriter(tmp_path / 'wide.mp4', 10) as writer:
        writer.write(wide)
    (tmp_path / 'walk.mp4').write_bytes(turned_right((tmp_path / 'wide.mp4').read_bytes(), 48))
    (frame,) = open_source(str(tmp_path / 'walk.mp4'))
    assert frame.image.shape == (96, 48, 3)
    np.testing.assert_allclose(frame.image[10, 24], (200, 0, 0), atol=15)
    np.testing.assert_allclose(frame.image[-10, 24], (0, 0, 200), atol=15)


def test_a_video_that_disappears_is_an_error(video):
    source = open_source(str(video))
    video.unlink()
    with pytest.raises(SourceError, match='no longer readable'):
        next(iter(source))


@pytest.mark.parametrize('spec', ['webcam:', 'webcam:front'])
def test_a_webcam_is_named_by_number(spec):
    with pytest.raises(SourceError, match='expected webcam:N'):
        open_source(spec)


def test_a_webcam_that_is_not_there_is_an_error():
    with pytest.raises(SourceError, match='webcam:97: no such camera'):
        open_source('webcam:97')


def test_what_is_not_there_is_an_error_that_lists_what_there_could_be(tmp_path):
    with pytest.raises(SourceError, match='expected synthetic, webcam:N, or the path of an image'):
        open_source(str(tmp_path / 'missing.mp4'))

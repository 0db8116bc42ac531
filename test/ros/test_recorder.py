# SPDX-License-Identifier: Apache-2.0
"""The recorder as a process, over DDS."""

import signal

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from graph import Feeder, node_process, observing
from std_msgs.msg import Header
from videos import read_video

from mtperception.ros.conversions import rgb8_image
from mtperception.ros.recorder import MAX_WAITING, Pairs

TOPICS = ('overlay/image', 'depth/color')


def picture(*color):
    return np.full((48, 64, 3), color, np.uint8)


class Stream(Feeder):
    """Publishes to the recorder, and knows how many frames it has recorded."""

    def send(self, topic, seconds, image):
        sec, nanosec = divmod(round(seconds * 1e9), 10**9)
        self.publish(topic, rgb8_image(image, Header(stamp=Time(sec=100 + sec, nanosec=nanosec))))

    def until_recorded(self, count):
        assert self.until_counted(count) == ('/recorder: frames', 'recorded')


@pytest.fixture
def stream():
    with observing() as observer:
        yield Stream(observer, TOPICS)


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_records_pairs_side_by_side_until_a_signal(number, tmp_path, stream):
    out = tmp_path / 'made' / 'here'
    with node_process('recorder', out=str(out), rate=10.0, picture_period=0.5) as recorder:
        stream.connect()
        for index in range(12):
            messages = [('overlay/image', picture(200, 20 * index, 30)), ('depth/color', picture(30, 20 * index, 200))]
            for topic, image in messages[:: 1 if index % 2 else -1]:  # in either order
                stream.send(topic, index / 10, image)
        stream.until_recorded(12)
        assert recorder.stop(number) == 0
        assert 'recorded 12 images' in recorder.log
    images, rate = read_video(out / 'overlay_depth.mkv')
    assert rate == 10
    assert [image.shape for image in images] == [(48, 128, 3)] * 12
    for index, image in enumerate(images):
        np.testing.assert_allclose(image[:, :56].mean(axis=(0, 1)), (200, 20 * index, 30), atol=8)
        np.testing.assert_allclose(image[:, 72:].mean(axis=(0, 1)), (30, 20 * index, 200), atol=8)
    assert sorted(path.name for path in out.glob('*.png')) == ['picture_1.png', 'picture_2.png', 'picture_3.png']
    second = cv2.imread(str(out / 'picture_2.png'))[..., ::-1]  # at 0.5 s: the sixth frame
    np.testing.assert_array_equal(second, np.hstack([picture(200, 100, 30), picture(30, 100, 200)]))


def test_plays_in_the_time_of_the_stamps(tmp_path, stream):
    """When the node drops frames, the last answered one stays."""
    with node_process('recorder', out=str(tmp_path), rate=10.0):
        stream.connect()
        for index, seconds in enumerate((0.0, 0.1, 0.4, 0.5)):
            for topic in TOPICS:
                stream.send(topic, seconds, picture(*[60 * index] * 3))
        stream.until_recorded(4)
    images, _ = read_video(tmp_path / 'overlay_depth.mkv')
    assert [round(image.mean() / 60) for image in images] == [0, 1, 1, 1, 2, 3]


def test_a_recorder_that_is_killed_leaves_a_video(tmp_path, stream):
    """All but the last of it, which waits to be written: less than a second of video at 640x480."""
    generator = np.random.default_rng(0)
    with node_process('recorder', out=str(tmp_path), rate=10.0) as recorder:
        stream.connect()
        for index in range(60):
            noise = generator.integers(0, 256, (120, 160, 3), np.uint8)
            for topic in TOPICS:
                stream.send(topic, index / 10, cv2.resize(noise, (320, 240), interpolation=cv2.INTER_NEAREST))
            if index % 8 == 7:  # the queues are short
                stream.until_recorded(index + 1)
        stream.until_recorded(60)
        assert recorder.stop(signal.SIGKILL) == -signal.SIGKILL
    images, rate = read_video(tmp_path / 'overlay_depth.mkv')
    assert rate == 10
    assert {image.shape for image in images} == {(240, 640, 3)}
    assert len(images) >= 50


def test_pictures_of_an_earlier_recording_are_removed_and_others_kept(tmp_path, stream):
    for name in ('picture_1.png', 'picture_12.png', 'picture_of_us.png', 'room.png'):
        (tmp_path / name).touch()
    with node_process('recorder', out=str(tmp_path)):
        stream.until_recorded(0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['picture_of_us.png', 'room.png']


def test_an_image_without_its_partner_is_left_out(tmp_path, stream):
    with node_process('recorder', out=str(tmp_path)):
        stream.connect()
        stream.send('overlay/image', 0.0, picture(1, 1, 1))
        stream.send('depth/color', 0.1, picture(2, 2, 2))
        for topic in TOPICS:
            stream.send(topic, 0.2, picture(90, 90, 90))
        stream.until_recorded(1)
    (image,), _ = read_video(tmp_path / 'overlay_depth.mkv')
    np.testing.assert_allclose(image, 90, atol=4)


def test_a_signal_before_the_first_image_ends_it_as_well(tmp_path, stream):
    with node_process('recorder', out=str(tmp_path)) as recorder:
        stream.until_recorded(0)
        assert recorder.stop() == 0
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path):
    (tmp_path / 'file').touch()
    with node_process('recorder', out=str(tmp_path / 'file')) as recorder:
        assert recorder.wait() == 1
        (line,) = recorder.lines
    assert str(tmp_path / 'file') in line


def test_a_video_that_cannot_be_written_ends_it_with_the_reason(tmp_path, stream):
    (tmp_path / 'overlay_depth.mkv').mkdir()
    with node_process('recorder', out=str(tmp_path)) as recorder:
        stream.connect()
        for topic in TOPICS:
            stream.send(topic, 0.0, picture(0, 0, 0))
        assert recorder.wait() == 1
        assert 'overlay_depth.mkv: OpenCV cannot write' in recorder.log


class TestPairs:
    def test_images_that_wait_in_vain_are_forgotten(self):
        pairs = Pairs()
        for stamp in range(MAX_WAITING + 1):
            assert pairs.add(stamp, 'a', picture(0, 0, 0)) is None
        assert pairs.add(0, 'b', picture(0, 0, 0)) is None
        assert pairs.add(MAX_WAITING, 'b', picture(0, 0, 0)) is not None

    def test_the_same_image_twice_is_no_pair(self):
        pairs = Pairs()
        assert pairs.add(1, 'a', picture(0, 0, 0)) is None
        assert pairs.add(1, 'a', picture(9, 9, 9)) is None
        assert set(pairs.add(1, 'b', picture(0, 0, 0))) == {'a', 'b'}

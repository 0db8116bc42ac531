# SPDX-License-Identifier: Apache-2.0
"""The player as a process, over DDS."""

import json
import re
import signal
import time

import numpy as np
import pytest
from calibrations import write_calibration
from diagnostic_msgs.msg import DiagnosticArray
from graph import node_process, observing
from rcl_interfaces.srv import DescribeParameters
from sensor_msgs.msg import CameraInfo, Image

from mtperception.media import VideoWriter, write_image
from mtperception.messages import image_to_rgb, intrinsics_from
from mtperception.ros.camera_player import PARAMETERS
from mtperception.sources import SourceOptions, open_source
from mtperception.types import Intrinsics

CAMERA = Intrinsics(100.0, 110.0, 31.5, 23.5, 64, 48)


def stamp_ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def gaps_s(messages):
    return np.diff([stamp_ns(message) for message in messages]) / 1e9


@pytest.fixture
def images(tmp_path):
    """A folder with three images and the camera that took them; the images."""
    folder = tmp_path / 'images'
    folder.mkdir()
    (folder / 'dataset.json').write_text(json.dumps(vars(CAMERA)))
    made = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8)
    for name, image in zip('abc', made, strict=True):
        write_image(folder / f'{name}.png', image)
    return folder, made


@pytest.fixture
def observer():
    with observing() as observer:
        yield observer


@pytest.fixture
def topics(observer):
    """What comes in on `image` and `camera_info`."""
    return observer.collect(Image, 'image'), observer.collect(CameraInfo, 'camera_info')


class TestMessages:
    def test_every_frame_arrives_bit_by_bit_with_its_camera(self, images, observer, topics):
        folder, made = images
        begun = time.time_ns()
        with node_process('camera_player', source=str(folder), loop=False, frame_id='left') as player:
            observer.spin_until(player.has_ended)
            observer.spin_for(0.2)
        assert player.wait() == 0
        received, infos = topics
        np.testing.assert_array_equal([image_to_rgb(message) for message in received], made)
        assert [intrinsics_from(info, 64, 48) for info in infos] == [CAMERA] * 3
        assert [info.header for info in infos] == [message.header for message in received]
        assert {message.header.frame_id for message in received} == {'left'}
        assert begun < stamp_ns(received[0]) < stamp_ns(received[1]) < stamp_ns(received[2]) < time.time_ns()

    def test_synthetic_frames_too(self, observer, topics):
        options = {'width': 64, 'height': 48, 'rate': 20.0}
        with node_process('camera_player', source='synthetic', **options):
            observer.spin_until(lambda: len(topics[0]) >= 5)
        expected = open_source('synthetic', SourceOptions(**options))
        for message, frame in zip(topics[0], expected, strict=False):
            np.testing.assert_array_equal(image_to_rgb(message), frame.image)

    def test_a_camera_that_is_not_known_is_one_that_is_not_calibrated(self, images, observer, topics):
        folder, _ = images
        (folder / 'dataset.json').unlink()
        with node_process('camera_player', source=str(folder)):
            observer.spin_until(lambda: topics[1])
        info = topics[1][0]
        assert (info.width, info.height) == (64, 48)
        assert not any([*info.k, *info.p, *info.d])

    def test_a_calibration_makes_it_known(self, images, observer, topics, tmp_path):
        folder, _ = images
        (folder / 'dataset.json').unlink()
        file = write_calibration(tmp_path / 'camera.yaml', CAMERA)
        with node_process('camera_player', source=str(folder), camera_file=str(file)):
            observer.spin_until(lambda: topics[1])
        assert intrinsics_from(topics[1][0], 64, 48) == CAMERA


class TestPace:
    def test_a_rate(self, images, observer, topics):
        with node_process('camera_player', source=str(images[0]), rate=40.0):
            observer.spin_until(lambda: len(topics[0]) >= 30)
        assert np.median(gaps_s(topics[0])) == pytest.approx(1 / 40, rel=0.2)

    def test_the_own_rate_of_a_video(self, tmp_path, observer, topics):
        with VideoWriter(tmp_path / 'walk.mp4', 16) as video:
            for value in range(20):
                video.write(np.full((48, 64, 3), 10 * value, np.uint8))
        with node_process('camera_player', source=str(tmp_path / 'walk.mp4'), loop=False) as player:
            observer.spin_until(player.has_ended)
            observer.spin_for(0.2)
        assert len(topics[0]) == 20
        assert np.median(gaps_s(topics[0])) == pytest.approx(1 / 16, rel=0.2)

    def test_a_loop_starts_again_at_the_first_frame(self, images, observer, topics):
        folder, made = images
        with node_process('camera_player', source=str(folder), rate=40.0):
            observer.spin_until(lambda: len(topics[0]) >= 8)
        for index, message in enumerate(topics[0]):
            np.testing.assert_array_equal(image_to_rgb(message), made[index % 3])

    def test_a_damaged_image_is_left_out_and_told_once(self, images, observer, topics):
        folder, made = images
        (folder / 'b.png').write_bytes(b'no image')
        with node_process('camera_player', source=str(folder), rate=40.0) as player:
            observer.spin_until(lambda: len(topics[0]) >= 6)
            assert player.log.count('1 of 3 images cannot be read, the first: ') == 1
        for index, message in enumerate(topics[0]):
            np.testing.assert_array_equal(image_to_rgb(message), made[(index % 2) * 2])

    def test_preloaded_images_are_played_over_and_over(self, images, observer, topics):
        folder, made = images
        with node_process('camera_player', source=str(folder), rate=40.0, preload=2) as player:
            observer.spin_until(lambda: 'playing' in player.log)
            for path in folder.glob('*.png'):  # nothing is read any more
                path.unlink()
            observer.spin_until(lambda: len(topics[0]) >= 6)
        shown = {image_to_rgb(message).tobytes() for message in topics[0]}
        assert shown == {image.tobytes() for image in made[:2]}

    def test_nothing_is_played_to_nobody(self, images, observer):
        folder, made = images
        reports = observer.collect(DiagnosticArray, '/diagnostics')
        with node_process('camera_player', source=str(folder), loop=False) as player:
            observer.spin_until(lambda: len(reports) >= 3)
            assert {report.status[0].values[0].value for report in reports} == {'0'}
            received = observer.collect(Image, 'image')
            observer.spin_until(player.has_ended)
            observer.spin_for(0.2)
        np.testing.assert_array_equal([image_to_rgb(message) for message in received], made)

    def test_unless_told_so(self, images, observer):
        reports = observer.collect(DiagnosticArray, '/diagnostics')
        with node_process('camera_player', source=str(images[0]), wait_for_subscriber=False):
            observer.spin_until(lambda: any(report.status[0].values[0].value != '0' for report in reports))


def test_every_parameter_is_described_and_read_only(observer):
    names = [spec.name for spec in PARAMETERS]
    with node_process('camera_player'):
        request = DescribeParameters.Request(names=names)
        found = observer.request(DescribeParameters, '/camera_player/describe_parameters', request).descriptors
    assert [(each.name, bool(each.description), each.read_only) for each in found] == [(n, True, True) for n in names]


class TestEnd:
    @pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_and_the_last_count_is_exact(self, number, images, observer, topics):
        reports = observer.collect(DiagnosticArray, '/diagnostics')
        with node_process('camera_player', source=str(images[0]), rate=40.0) as player:
            observer.spin_until(lambda: len(topics[0]) >= 30)
            assert player.stop(number) == 0
            observer.spin_for(0.2)
            assert 'Traceback' not in player.log
        status = reports[-1].status[0]
        assert status.name == '/camera_player: frames'
        values = {pair.key: pair.value for pair in status.values}
        assert values.pop('published') == str(len(topics[0]))
        seconds = sum(gaps_s(topics[0]))
        # Counted after publishing, stamped before: on a busy machine the two drift apart.
        assert float(values.pop('mean rate [Hz]')) == pytest.approx((len(topics[0]) - 1) / seconds, rel=0.3)
        assert not values

    @pytest.mark.parametrize(
        ('parameters', 'message'),
        [
            ({'source': '/no/such/place'}, "no source '/no/such/place': expected synthetic"),
            ({'rate': -1.0}, 'rate.*expected float from 0 to 1000'),
            ({'preload': -1}, 'preload.*expected int from 0 to'),
            ({'rate': 'fast'}, 'rate.*expected float'),
        ],
    )
    def test_what_cannot_be_played_is_one_clear_line(self, parameters, message):
        with node_process('camera_player', **parameters) as player:
            assert player.wait() == 1
            (line,) = player.lines
        assert re.search(message, line)

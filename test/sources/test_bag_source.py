# SPDX-License-Identifier: Apache-2.0
import sqlite3
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest

from mtperception.errors import SourceError
from mtperception.sources import images_only, open_source

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from bags import CAMERA, HEIGHT, WIDTH, camera_info, color, png, raw, write_bag
from rosbags.rosbag2 import CompressionMode, StoragePlugin


@pytest.mark.parametrize('plugin', list(StoragePlugin), ids=lambda plugin: plugin.name)
class TestStorages:
    @pytest.fixture
    def bag(self, tmp_path, plugin):
        messages = [('/cam/image_raw', raw(color(i), stamp_ns=5_000_000_000 + i)) for i in range(3)]
        return write_bag(tmp_path / 'walk', messages, plugin)

    def check(self, spec):
        source = open_source(str(spec))
        frames = list(source)
        assert [frame.stamp_ns for frame in frames] == [5_000_000_000, 5_000_000_001, 5_000_000_002]
        for i, frame in enumerate(frames):
            np.testing.assert_array_equal(frame.image, color(i))
        assert [frame.name for frame in frames] == ['000000', '000001', '000002']
        assert (source.count, source.is_stream) == (3, True)
        assert source.rate == pytest.approx(1)  # three messages, a second apart
        assert '/cam/image_raw' in source.description

    def test_a_folder(self, bag):
        self.check(bag)

    def test_a_single_file(self, bag):
        (file,) = (path for path in bag.iterdir() if path.suffix != '.yaml')
        self.check(file)

    def test_a_folder_with_compressed_files(self, tmp_path, plugin):
        bag = write_bag(tmp_path / 'bag', [('/image', raw(color(9)))], plugin, CompressionMode.FILE)
        assert {path.suffix for path in bag.iterdir()} == {'.yaml', '.zstd'}
        (frame,) = open_source(str(bag))
        np.testing.assert_array_equal(frame.image, color(9))

    def test_a_recording_that_was_cut_off_is_played_as_far_as_it_goes(self, tmp_path, plugin):
        pixels = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
        bag = write_bag(tmp_path / 'long', [('/image', raw(pixels, stamp_ns=1 + i)) for i in range(40)], plugin)
        (file,) = (path for path in bag.iterdir() if path.suffix != '.yaml')
        file.write_bytes(file.read_bytes()[: file.stat().st_size * 3 // 4])
        (bag / 'metadata.yaml').unlink()
        source = open_source(str(bag))
        frames = list(source)
        assert 10 < len(frames) <= 30
        assert source.count == len(frames)
        assert 'not complete' in source.notes[0]

    def test_a_folder_without_metadata(self, bag):
        (bag / 'metadata.yaml').unlink()
        self.check(bag)


class TestImages:
    def test_compressed_ones_are_decoded(self, tmp_path):
        bag = write_bag(tmp_path / 'bag', [('/cam/image_raw/compressed', png(color(9)))])
        (frame,) = open_source(str(bag))
        np.testing.assert_array_equal(frame.image, color(9))

    def test_other_encodings_become_rgb(self, tmp_path):
        bag = write_bag(tmp_path / 'bag', [('/image', raw(color(9)[..., ::-1], encoding='bgr8'))])
        (frame,) = open_source(str(bag))
        np.testing.assert_array_equal(frame.image, color(9))

    def test_without_a_stamp_the_time_of_recording_counts(self, tmp_path):
        bag = write_bag(tmp_path / 'bag', [('/image', raw(color(0)))])
        (frame,) = open_source(str(bag))
        assert frame.stamp_ns == 1000 * 10**9

    def test_a_broken_image_costs_itself_and_is_told(self, tmp_path):
        broken = raw(color(1))
        broken.step = 5
        bag = write_bag(tmp_path / 'bag', [('/image', raw(color(0))), ('/image', broken), ('/image', raw(color(2)))])
        source = open_source(str(bag))
        assert [frame.image[0, 0, 0] for frame in source] == [0, 2]
        assert source.notes == ('images: 1 refused, the first: found step 5, expected 24 or more for 8 pixels of rgb8',)

    def test_a_bag_without_any_usable_image_is_an_error_that_says_why(self, tmp_path):
        broken = raw(color(1))
        broken.step = 5
        bag = write_bag(tmp_path / 'bag', [('/image', broken)])
        with pytest.raises(SourceError, match='no usable image: images: 1 refused, the first: found step 5'):
            list(open_source(str(bag), images_only('/image')))

    def test_bytes_that_are_no_image_too(self, tmp_path):
        bag = write_bag(tmp_path / 'bag', [('/image', raw(color(0))), ('/image', raw(color(0)))])
        with closing(sqlite3.connect(bag / 'bag.db3')) as database:
            database.execute('UPDATE messages SET data = substr(data, 1, 40) WHERE id = 1')
            database.commit()
        source = open_source(str(bag))
        assert [frame.name for frame in source] == ['000001']
        assert source.notes[0].startswith(
            'images: 1 refused, the first: found 40 bytes that are not a sensor_msgs/msg/Image'
        )

    def test_a_bag_that_is_damaged_further_on_is_played_up_to_there(self, tmp_path):
        pixels = np.zeros((120, 160, 3), np.uint8)
        bag = write_bag(tmp_path / 'bag', [('/image', raw(pixels)) for _ in range(40)])
        file = bag / 'bag.db3'
        content = bytearray(file.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 9000] = bytes(9000)
        file.write_bytes(content)
        source = open_source(str(bag))
        assert 0 < len(list(source)) < 40
        assert 'malformed' in source.notes[0]


def test_a_single_image_has_a_rate_that_a_video_can_have(tmp_path):
    assert open_source(str(write_bag(tmp_path / 'bag', [('/image', raw(color(0)))]))).rate == 10


class TestTopics:
    @pytest.fixture
    def bag(self, tmp_path):
        depth = np.full((HEIGHT, WIDTH), 1234, np.uint16)
        grey = np.full((HEIGHT, WIDTH), 77, np.uint8)
        messages = [
            ('/a/depth', raw(depth, encoding='16UC1')),
            ('/b/infrared', raw(grey, encoding='mono8')),
            ('/c/color', raw(color(50))),
            ('/d/color', raw(color(60))),
        ]
        return str(write_bag(tmp_path / 'bag', messages))

    def test_colour_goes_before_grey_and_depth_is_passed_over(self, bag):
        (frame,) = open_source(bag)
        np.testing.assert_array_equal(frame.image, color(50))

    def test_the_one_asked_for(self, bag):
        (frame,) = open_source(bag, images_only('/b/infrared'))
        assert np.unique(frame.image) == 77

    def test_one_that_is_not_there_is_an_error_that_lists_what_is(self, bag):
        with pytest.raises(SourceError, match=r"no topic '/nope' of type .*: the bag has /a/depth"):
            open_source(bag, images_only('/nope'))

    def test_depth_alone_is_not_for_the_eye(self, tmp_path):
        depth = np.ones((HEIGHT, WIDTH), np.uint16)
        bag = write_bag(tmp_path / 'depth', [('/a/depth', raw(depth, encoding='16UC1'))])
        with pytest.raises(SourceError, match='/a/depth: depth, not colour or grey'):
            open_source(str(bag))

    def test_no_image_topic_is_an_error_that_lists_the_topics(self, tmp_path):
        bag = write_bag(tmp_path / 'info', [('/camera_info', camera_info())])
        with pytest.raises(SourceError, match=r'found /camera_info \(sensor_msgs/msg/CameraInfo\)'):
            open_source(str(bag))


class TestCameraInfo:
    def intrinsics(self, tmp_path, *messages):
        bag = write_bag(tmp_path / 'bag', list(messages))
        return [frame.intrinsics for frame in open_source(str(bag), images_only(messages[0][0]))]

    def test_the_sibling_of_the_image_topic_is_used(self, tmp_path):
        found = self.intrinsics(
            tmp_path,
            ('/cam/image', raw(color(0))),
            ('/cam/camera_info', camera_info()),
            ('/camera_info', camera_info(7)),
        )
        assert found == [CAMERA]

    def test_of_a_compressed_topic_too(self, tmp_path):
        found = self.intrinsics(tmp_path, ('/cam/image/compressed', png(color(0))), ('/cam/camera_info', camera_info()))
        assert found == [CAMERA]

    def test_the_newest_counts(self, tmp_path):
        found = self.intrinsics(
            tmp_path,
            ('/cam/image', raw(color(0))),
            ('/cam/camera_info', camera_info(100)),
            ('/cam/image', raw(color(0))),
            ('/cam/camera_info', camera_info(200)),
            ('/cam/image', raw(color(0))),
        )
        assert [intrinsics.fx for intrinsics in found] == [100, 100, 200]

    def test_one_that_is_damaged_is_passed_over(self, tmp_path):
        messages = [
            ('/cam/camera_info', camera_info()),
            ('/cam/camera_info', camera_info(7)),
            ('/cam/i', raw(color(0))),
        ]
        bag = write_bag(tmp_path / 'bag', messages)
        with closing(sqlite3.connect(bag / 'bag.db3')) as database:
            database.execute('UPDATE messages SET data = substr(data, 1, 40) WHERE id = 2')
            database.commit()
        (frame,) = open_source(str(bag))
        assert frame.intrinsics == CAMERA

    def test_an_uncalibrated_camera_is_not_known(self, tmp_path):
        found = self.intrinsics(tmp_path, ('/cam/image', raw(color(0))), ('/cam/camera_info', camera_info(0)))
        assert found == [None]


def test_without_rosbags_the_error_names_the_extra(tmp_path):
    bag = write_bag(tmp_path / 'bag', [('/image', raw(color(0)))])
    code = (
        'import sys; sys.modules["rosbags"] = None\n'
        'from mtperception.sources import open_source\n'
        f'open_source({str(bag)!r})'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
    assert 'SourceError' in done.stderr
    assert 'pip install "mtperception[bags]"' in done.stderr

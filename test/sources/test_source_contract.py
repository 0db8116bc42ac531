# SPDX-License-Identifier: Apache-2.0
"""What every kind of source in SOURCES keeps; one that is listed has to say here how to make one."""

import os
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from mtperception.errors import SourceError
from mtperception.media import VideoWriter, write_image
from mtperception.recording.recording_options import RecordingOptions
from mtperception.recording.topics import TopicRequest
from mtperception.sources import SOURCES, SourceOptions, open_source

OPTIONS = SourceOptions(width=64, height=48, rate=0.5)
ENDLESS = {'webcam'}


def picture(number):
    return np.full((48, 64, 3), (40 * number, 20, 200), np.uint8)


def image(folder):
    write_image(folder / 'kitchen.png', picture(1))
    return folder / 'kitchen.png'


def images(folder):
    for number in range(3):
        write_image(folder / f'{number}.png', picture(number))
    return folder


def video(folder):
    with VideoWriter(folder / 'walk.mp4', 20) as writer:
        for number in range(3):
            writer.write(picture(number))
    return folder / 'walk.mp4'


def bag(folder):
    pytest.importorskip('rosbags', reason='bags need the extra `bags`')
    from bags import camera_info, color, raw, write_bag

    moments = [[('/cam/camera_info', camera_info()), ('/cam/image', raw(color(number)))] for number in range(3)]
    return write_bag(folder / 'bag', [message for moment in moments for message in moment])


def webcam(folder):
    if not Path('/dev/video0').exists():
        pytest.skip('needs a camera')
    return 'webcam:0'


EXAMPLES = {
    'synthetic': lambda folder: 'synthetic',
    'webcam': webcam,
    'image': image,
    'bag': bag,
    'folder': images,
    'video': video,
}


@pytest.fixture(params=SOURCES)
def kind(request):
    return request.param


@pytest.fixture
def source(kind, tmp_path):
    return open_source(str(EXAMPLES[kind](tmp_path)), OPTIONS)


def test_it_is_opened_by_its_kind(kind, source):
    assert type(source) is SOURCES[kind]


def test_it_says_what_it_is(kind, source):
    assert source.description
    assert '\n' not in source.description
    assert isinstance(source.is_stream, bool)
    assert source.rate > 0
    assert source.notes == ()
    assert isinstance(source.poses, str)
    if kind in ENDLESS:
        assert source.count is None
    else:
        assert source.count == len(list(source))


def test_how_a_bag_is_read_is_for_bags(kind, tmp_path):
    """What would have no effect is refused: whoever names a topic believes to read it."""
    spec = str(EXAMPLES[kind](tmp_path))
    told = replace(OPTIONS, recording=RecordingOptions(TopicRequest(image='/cam/image')))
    if kind == 'bag':
        assert len(list(open_source(spec, told))) == 3
        return
    with pytest.raises(SourceError, match=rf'found a source of the kind {kind}, and options .* expected a ROS bag'):
        open_source(spec, told)


def test_frames_are_what_others_rely_on(source):
    frames = list(islice(source, 5))
    for frame in frames:
        height, width, channels = frame.image.shape
        assert (frame.image.dtype, channels) == (np.uint8, 3)
        assert frame.intrinsics is None or (frame.intrinsics.width, frame.intrinsics.height) == (width, height)
        assert isinstance(frame.stamp_ns, int)
        assert frame.name
        assert os.sep not in frame.name
    stamps = [frame.stamp_ns for frame in frames]
    assert stamps == sorted(set(stamps))


def test_names_are_unique(source):
    names = [frame.name for frame in islice(source, 20)]
    assert len(set(names)) == len(names) > 0


def test_each_iteration_starts_again(kind, source):
    """Also while an earlier one is not finished."""
    if kind in ENDLESS:
        pytest.skip('shows what is there now')
    begun = iter(source)
    first = next(begun)
    for again in (list(source), list(source)):
        assert len(again) == source.count
        assert (again[0].name, again[0].stamp_ns, again[0].intrinsics) == (first.name, first.stamp_ns, first.intrinsics)
        np.testing.assert_array_equal(again[0].image, first.image)


def test_every_nth_frame_is_one_of_all_frames(kind, tmp_path):
    if kind in ENDLESS:
        pytest.skip('has no positions')
    spec = str(EXAMPLES[kind](tmp_path))
    everything = list(open_source(spec, OPTIONS))
    source = open_source(spec, replace(OPTIONS, every=2))
    some = list(source)
    assert source.count == len(some) == len(everything[::2])
    assert source.rate == pytest.approx(open_source(spec, OPTIONS).rate / (1 if kind == 'image' else 2))
    for frame, expected in zip(some, everything[::2], strict=True):
        assert (frame.name, frame.stamp_ns, frame.intrinsics) == (expected.name, expected.stamp_ns, expected.intrinsics)
        np.testing.assert_array_equal(frame.image, expected.image)


def test_maps_and_poses_belong_to_their_image(kind, source):
    for frame in islice(source, 3):
        size = frame.image.shape[:2]
        assert frame.depth is None or (frame.depth.shape, frame.depth.dtype) == (size, np.float32)
        assert frame.labels is None or (frame.labels.shape, frame.labels.dtype) == (size, np.uint8)
        assert frame.T_world_camera is None or frame.T_world_camera.shape == (4, 4)
        assert source.poses or frame.T_world_camera is None


def test_maps_that_are_not_asked_for_are_not_there(kind, tmp_path):
    source = open_source(str(EXAMPLES[kind](tmp_path)), replace(OPTIONS, maps=()))
    assert [(frame.depth, frame.labels) for frame in islice(source, 2)] in ([(None, None)], [(None, None)] * 2)

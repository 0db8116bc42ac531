# SPDX-License-Identifier: Apache-2.0
import numpy as np

from mtperception.sources import SourceOptions, open_source
from mtperception.sources.timeline import timeline
from mtperception.synthetic import PERIOD, SyntheticRoom, pose


def test_frames_are_those_of_the_room_at_their_time():
    source = open_source('synthetic', SourceOptions(width=64, height=48, rate=0.25))
    room = SyntheticRoom(64, 48)
    frames = list(source)
    assert len(frames) == source.count == PERIOD / 4
    for index, frame in enumerate(frames):
        assert frame.stamp_ns == 4 * 10**9 * index
        exact = room.frame(4.0 * index)
        np.testing.assert_array_equal(frame.image, exact.image)
        np.testing.assert_array_equal(frame.depth, exact.depth)
        np.testing.assert_array_equal(frame.labels, exact.labels)
        np.testing.assert_array_equal(frame.T_world_camera, pose(4.0 * index))
        assert frame.intrinsics == room.intrinsics
    assert (source.is_stream, source.rate) == (True, 0.25)
    assert source.label_space.name == 'nyuv2_40'


def test_a_loop_has_no_seam():
    source = open_source('synthetic', SourceOptions(width=32, height=24, rate=0.05))
    shown = [(due, frame.image) for (due, frame), _ in zip(timeline(source, loop=True), range(3), strict=False)]
    room = SyntheticRoom(32, 24)
    assert [due for due, _ in shown] == [0, 20, 40]
    np.testing.assert_array_equal(shown[2][1], room.frame(PERIOD).image)


def test_the_default_size_and_rate():
    source = open_source('synthetic')
    frame = next(iter(source))
    assert frame.image.shape == (480, 640, 3)
    assert source.count == 30 * PERIOD

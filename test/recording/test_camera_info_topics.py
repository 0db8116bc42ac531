# SPDX-License-Identifier: Apache-2.0
"""Whose camera_info it is: that of the images, that of depth, or of neither."""

import numpy as np
import pytest

pytest.importorskip('rosbags', reason='bags need the extra `bags`')

from recordings import (
    depth_16u,
    depth_compressed_16u,
    image,
    info,
)

from mtperception.types import Intrinsics

COLOR = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
GREY = np.full((1, 2), 7, np.uint8)
METERS = np.ones((1, 2), np.float32)
CAMERA = Intrinsics(9.0, 9.0, 0.5, 0.0, 2, 1)


def test_the_camera_of_the_images_is_not_that_of_the_depth(chosen):
    topics = chosen(('/c/image', image(COLOR, 0)), ('/c/camera_info', info(CAMERA)), ('/d/image', depth_16u(METERS, 0)))
    assert (topics.depth, topics.depth_camera_info) == ('/d/image', '')


def test_the_only_camera_info_is_taken_wherever_it_is(chosen):
    assert chosen(('/image', image(COLOR, 0)), ('/x/camera_info', info(CAMERA))).camera_info == '/x/camera_info'


def test_of_several_elsewhere_none_is(chosen):
    messages = [(f'/{name}/camera_info', info(CAMERA)) for name in 'xy']
    assert chosen(('/image', image(COLOR, 0)), *messages).camera_info == ''


class TestTheCameraInfoOfDepth:
    COLOR, DEPTH = '/camera/color/image_raw', '/camera/depth/image_rect_raw'

    def camera(self, *depths, image_frame='color', infos=('/camera/depth/camera_info',)):
        """A colour camera without a camera_info, depth as (topic, frame), and camera_infos."""
        yield self.COLOR, image(COLOR, 0, frame=image_frame)
        yield from ((topic, depth_16u(METERS, 0, frame)) for topic, frame in depths)
        yield from ((topic, info(CAMERA)) for topic in infos)

    @pytest.mark.parametrize('image_frame', ['color', ''])
    @pytest.mark.parametrize('depth_frame', ['depth', ''])
    @pytest.mark.parametrize('transport', ['', '/compressedDepth'])
    def test_is_not_that_of_the_images(self, chosen, image_frame, depth_frame, transport):
        encode = depth_compressed_16u if transport else depth_16u
        depth = (self.DEPTH + transport, encode(METERS, 0, depth_frame))
        topics = chosen(*self.camera(image_frame=image_frame), depth)
        assert (topics.camera_info, topics.depth_camera_info) == ('', '/camera/depth/camera_info')
        (note,) = topics.notes
        assert note.startswith(f'camera info: /camera/depth/camera_info skipped: it belongs to {depth[0]}')
        assert 'depth is not scaled to the camera' in note
        assert '--camera-info-topic' in note

    def test_unless_it_is_asked_for(self, chosen):
        topics = chosen(*self.camera((self.DEPTH, 'depth')), camera_info='/camera/depth/camera_info')
        assert (topics.camera_info, topics.notes) == ('/camera/depth/camera_info', ())

    @pytest.mark.parametrize('frame', ['color', '/color'])
    def test_depth_in_the_frame_of_the_images_has_their_camera(self, chosen, frame):
        aligned = '/camera/aligned_depth_to_color'
        messages = self.camera(
            (self.DEPTH, 'depth'),
            (f'{aligned}/image_raw', frame),
            infos=('/camera/depth/camera_info', f'{aligned}/camera_info'),
        )
        topics = chosen(*messages)
        assert (topics.camera_info, topics.notes) == (f'{aligned}/camera_info', ())

    def test_one_that_belongs_to_nothing_goes_before_it(self, chosen):
        infos = ('/camera/depth/camera_info', '/camera/rgb/camera_info')
        topics = chosen(*self.camera((self.DEPTH, 'depth'), infos=infos))
        assert (topics.camera_info, topics.notes) == ('/camera/rgb/camera_info', ())

    @pytest.mark.parametrize('frame', ['camera', ''])
    def test_in_one_namespace_it_is_of_both(self, chosen, frame):
        messages = [
            ('/camera/image_raw', image(COLOR, 0, frame=frame)),
            ('/camera/depth', depth_16u(METERS, 0, frame)),
            ('/camera/camera_info', info(CAMERA)),
        ]
        topics = chosen(*messages)
        assert (topics.camera_info, topics.depth_camera_info, topics.notes) == (*['/camera/camera_info'] * 2, ())

    @pytest.mark.parametrize(
        ('frame', 'of_image', 'of_depth'),
        [
            ('color', True, False),
            ('depth', False, True),
            ('/depth', False, True),
            ('base', True, True),
            ('', True, True),
        ],
    )
    def test_in_one_namespace_but_two_frames_its_frame_says_whose_it_is(self, chosen, frame, of_image, of_depth):
        name = '/camera/camera_info'
        topics = chosen(
            ('/camera/image_raw', image(COLOR, 0, frame='color')),
            ('/camera/depth', depth_16u(METERS, 0, 'depth')),
            (name, info(CAMERA, frame=frame)),
        )
        assert (topics.camera_info, topics.depth_camera_info) == (name * of_image, name * of_depth)
        assert any(note.startswith(f'{name}: not used for /camera/') for note in topics.notes) != (
            of_image and of_depth
        )

    @pytest.mark.parametrize('name', ['depth', 'rectified'])
    def test_of_another_robot_is_neither(self, chosen, name):
        topics = chosen(
            *((f'/robot{number}/camera/image_raw', image(COLOR, 0, frame='color')) for number in (1, 2)),
            ('/robot1/camera/depth/image', depth_16u(METERS, 0, 'depth')),
            (f'/robot1/camera/{name}/camera_info', info(CAMERA)),
            image='/robot2/camera/image_raw',
        )
        assert topics.camera_info == ''
        assert [note.partition(':')[0] for note in topics.notes] == ['depth']

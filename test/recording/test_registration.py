# SPDX-License-Identifier: Apache-2.0
"""When depth is taken as it is, when it is reprojected, and what is said when it cannot be used."""

import numpy as np
import pytest

pytest.importorskip('rosbags', reason='messages are made with the extra `bags`')

from recordings import DEPTH, DEPTH_INFO, IMAGE, INFO, info, transforms, translation

from mtperception.messages import RefusedMessageError
from mtperception.recording.first_pass import FirstPass
from mtperception.recording.registration import choose_registration, is_same_view, resize_nearest
from mtperception.recording.topics import Topics
from mtperception.types import Intrinsics

CAMERA = Intrinsics(100.0, 100.0, 19.5, 14.5, 40, 30)
WIDE = Intrinsics(50.0, 50.0, 19.5, 14.5, 40, 30)
UNCALIBRATED = Intrinsics(0.0, 0.0, 0.0, 0.0, 40, 30)
SIZE = (40, 30)


def registration(depth_frame='camera', camera=CAMERA, depth_camera=CAMERA, tf=None, as_it_is=False):
    found = FirstPass(frames={IMAGE: 'camera', DEPTH: depth_frame})
    if camera:
        found.infos[INFO] = info(camera)
    if depth_camera:
        found.depth_infos = [(0, info(depth_camera))]
    if tf is not None:
        found.tree.add(transforms(('camera', 'depth', tf, 0)), static=True)
    topics = Topics(IMAGE, INFO if camera else '', DEPTH, DEPTH_INFO if depth_camera else '', '', '')
    return choose_registration(found, topics, as_it_is=as_it_is)


def plane(distance=2.0, shape=(30, 40)):
    return np.full(shape, distance, np.float32)


def test_depth_in_the_frame_of_the_image_is_taken_as_it_is():
    depth = np.random.default_rng(0).uniform(1, 9, (30, 40)).astype(np.float32)
    np.testing.assert_array_equal(registration().apply(depth, 0, SIZE, CAMERA), depth)
    np.testing.assert_array_equal(registration(camera=None, depth_camera=None).apply(depth, 0, SIZE, None), depth)


@pytest.mark.parametrize(('camera', 'depth_camera'), [(None, WIDE), (CAMERA, UNCALIBRATED)])
def test_a_camera_that_is_not_calibrated_does_not_cost_depth_in_the_frame_of_the_image(camera, depth_camera):
    """Without both cameras nothing says that the depth is of another view."""
    got = registration(depth_camera=depth_camera).apply(plane(), 0, SIZE, camera)
    np.testing.assert_array_equal(got, plane())
    with pytest.raises(RefusedMessageError):  # of another frame it cannot be used
        registration('depth', tf=translation(), depth_camera=depth_camera).apply(plane(), 0, SIZE, camera)


def test_and_resized_by_nearest_neighbour():
    depth = np.array([[1, 2], [3, 4]], np.float32)
    got = registration(camera=None, depth_camera=None).apply(depth, 0, (4, 4), None)
    np.testing.assert_array_equal(got, depth.repeat(2, axis=0).repeat(2, axis=1))


def test_a_known_baseline_between_two_cameras():
    """The depth camera sits 0.1 m to the right of the colour camera: points 2 m away are 100 * 0.1 / 2 = 5 px further
    right in the colour image than in the depth image."""
    depth = plane()
    depth[:, 20] = 3
    got = registration('depth', tf=translation(x=0.1)).apply(depth, 0, SIZE, CAMERA)
    np.testing.assert_array_equal(got[:, :5], 0)
    # Column 20 is 3 m away and goes 3.33 px to the right, behind the wall of column 18. Where the wall of column 20
    # would be, the depth camera saw none.
    np.testing.assert_allclose(got[:, 5:25], 2)
    np.testing.assert_array_equal(got[:, 25], 0)
    np.testing.assert_allclose(got[:, 26:], 2)


def test_two_views_from_one_place_are_reprojected():
    """Half the focal length: the depth camera sees twice as much, the image shows its middle, each pixel twice."""
    depth = plane()
    depth[:, 20:] = 4
    got = registration(depth_camera=WIDE).apply(depth, 0, SIZE, CAMERA)
    np.testing.assert_array_equal(got[:, :20], 2)
    np.testing.assert_array_equal(got[:, 20:], 4)


def test_a_step_forward_is_in_the_depth():
    got = registration('depth', tf=translation(z=0.5)).apply(plane(), 0, SIZE, CAMERA)
    np.testing.assert_allclose(got[10:20, 10:30], 2.5)


@pytest.mark.parametrize(
    ('known', 'missing'),
    [
        ({}, "transforms that do not move between 'camera' and 'depth'"),
        ({'tf': translation(), 'camera': None}, 'a camera_info beside the image'),
        ({'tf': translation(), 'depth_camera': None}, 'a camera_info beside the depth'),
    ],
)
def test_what_is_missing_is_said(known, missing):
    with pytest.raises(RefusedMessageError, match=missing):
        registration('depth', **known).apply(plane(), 0, SIZE, CAMERA)
    assert missing in registration('depth', **known).description


def test_unless_the_user_says_that_it_is_registered():
    got = registration('depth', camera=None, as_it_is=True).apply(plane(3), 0, SIZE, None)
    np.testing.assert_array_equal(got, plane(3))


def test_another_aspect_without_cameras_is_refused():
    with pytest.raises(RefusedMessageError, match='found depth of 40x20, expected the aspect of 40x30'):
        registration(camera=None, depth_camera=None).apply(plane(shape=(20, 40)), 0, SIZE, None)


def test_two_calibrations_of_one_camera_are_one_view():
    nearly = Intrinsics(200.9, 199.2, 39.6, 29.5, 80, 60)
    assert is_same_view(CAMERA, nearly)
    assert not is_same_view(CAMERA, WIDE)
    assert not is_same_view(CAMERA, Intrinsics(100, 100, 21, 14.5, 40, 30))


def test_labels_keep_their_classes_when_resized():
    labels = np.array([[1, 9]], np.uint8)
    np.testing.assert_array_equal(resize_nearest(labels, (6, 1)), [[1, 1, 1, 9, 9, 9]])


@pytest.mark.parametrize(('fy', 'cy'), [(110.0, 14.5), (100.0, 16.0)])
def test_views_that_differ_in_their_rows_alone_are_not_the_same(fy, cy):
    camera = Intrinsics(100.0, 100.0, 19.5, 14.5, 40, 30)
    assert is_same_view(camera, camera)
    assert not is_same_view(camera, Intrinsics(100.0, fy, 19.5, cy, 40, 30))

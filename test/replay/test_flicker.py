# SPDX-License-Identifier: Apache-2.0
"""What changes from frame to frame, and what only moves."""

import numpy as np
import pytest
from recordings import translation

from mtperception.replay.flicker import View, compensated_flicker, plain_flicker
from mtperception.synthetic import SyntheticRoom, pose
from mtperception.types import Intrinsics, Prediction

CAMERA = Intrinsics(100.0, 100.0, 19.5, 14.5, 40, 30)


def stripes(shift):
    """Classes that change with every column, as a wall with wallpaper shows them after it moved to the right."""
    return np.tile((np.arange(40) - shift).astype(np.uint8) % 7, (30, 1))


def wall(shift, distance=2.0):
    return Prediction(labels=stripes(shift), depth=np.full((30, 40), distance, np.float32))


def test_labels_by_share_and_depth_by_median():
    """One of four labels changes. Relative changes of depth are 0, 0.1, 0.5 and 0.3: their median is 0.2."""
    before = Prediction(np.array([[1, 2, 3, 4]], np.uint8), depth=np.array([[1, 1, 2, 1]], np.float32))
    now = Prediction(np.array([[1, 2, 3, 5]], np.uint8), depth=np.array([[1, 1.1, 1, 1.3]], np.float32))
    flicker = plain_flicker(before, now)
    assert (flicker.labels, flicker.depth) == pytest.approx((0.25, 0.2), rel=1e-5)


def test_images_of_other_size_are_not_compared():
    flicker = plain_flicker(wall(0), Prediction(labels=np.zeros((3, 4), np.uint8)))
    assert np.isnan(flicker.labels)


def test_motion_of_the_camera_is_no_flicker():
    """The camera steps 0.1 m to the left: the wall, 2 m away, moves 5 px to the right in the image."""
    before = View(wall(0), CAMERA, translation(x=0.1))
    now = View(wall(5), CAMERA, translation())
    assert plain_flicker(before.prediction, now.prediction).labels == 1
    flicker = compensated_flicker(before, now)
    assert (flicker.labels, flicker.depth) == pytest.approx((0, 0), abs=1e-6)
    assert flicker.visible == 35 / 40


def test_what_changes_besides_is():
    """The same step; depth says 2.2 m after 2 m."""
    flicker = compensated_flicker(
        View(wall(0), CAMERA, translation(x=0.1)), View(wall(5, distance=2.2), CAMERA, translation())
    )
    assert (flicker.labels, flicker.depth) == pytest.approx((0, 0.1), rel=1e-5)


def test_coming_nearer_is_no_change_of_depth():
    flicker = compensated_flicker(
        View(wall(0, distance=2), CAMERA, translation()), View(wall(0, distance=1.5), CAMERA, translation(z=0.5))
    )
    assert flicker.depth == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize('missing', ['pose', 'camera', 'depth'])
def test_without_pose_camera_or_depth_there_is_no_compensation(missing):
    labels_only = Prediction(labels=stripes(0))
    before = View(
        labels_only if missing == 'depth' else wall(0),
        None if missing == 'camera' else CAMERA,
        None if missing == 'pose' else translation(),
    )
    assert compensated_flicker(before, View(wall(0), CAMERA, translation())) is None


def test_nothing_in_common():
    flicker = compensated_flicker(View(wall(0), CAMERA, translation(x=9)), View(wall(0), CAMERA, translation()))
    assert np.isnan(flicker.labels)
    assert flicker.visible == 0


def test_exact_maps_of_a_scene_flicker_at_edges_only():
    """A perfect model in the room: what is left after compensation is pixels at the edges of things."""
    room = SyntheticRoom(96, 72)
    views = []
    for seconds in (3.0, 3.2):
        sample = room.frame(seconds)
        views.append(View(Prediction(labels=sample.labels, depth=sample.depth), room.intrinsics, pose(seconds)))
    plain = plain_flicker(*(view.prediction for view in views))
    compensated = compensated_flicker(*views)
    assert compensated.labels < plain.labels / 3
    assert compensated.depth < plain.depth / 3
    assert compensated.depth < 0.005

# SPDX-License-Identifier: Apache-2.0
"""The floor that is a known height below the camera sets the scale of depth."""

import numpy as np
import pytest

from mtperception.geometry import pixel_rays
from mtperception.labels import load_label_space
from mtperception.mapping.scale import FloorScale, plane_distance
from mtperception.synthetic import SyntheticRoom, pose
from mtperception.types import Intrinsics

CAMERA = Intrinsics(100.0, 100.0, 79.5, 59.5, 160, 120)
NYU = load_label_space('nyuv2_40')
FLOOR = NYU.names.index('floor')


def level_floor(height):
    """Depth and mask of a floor that a level camera looks along: z = height / y of the ray."""
    _, y = pixel_rays(CAMERA)
    below = np.repeat((y > 0.1)[:, None], 160, axis=1)
    depth = np.where(below, height / np.maximum(y, 0.1)[:, None], 0).astype(np.float32)
    return depth, below


def test_distance_of_a_plane_by_hand():
    depth, below = level_floor(1.5)
    assert plane_distance(depth, below, CAMERA) == pytest.approx(1.5, rel=1e-4)


def test_pixels_of_something_else_are_left_out():
    """A third of what is called floor is a box at 1 m."""
    depth, below = level_floor(1.5)
    depth[below & (np.arange(160) < 53)] = 1.0
    assert plane_distance(depth, below, CAMERA) == pytest.approx(1.5, rel=0.01)


def test_no_plane_is_no_measurement():
    depth, below = level_floor(1.5)
    noise = np.random.default_rng(0).uniform(0.5, 8, depth.shape).astype(np.float32)
    assert plane_distance(noise, below, CAMERA) is None
    few = np.zeros_like(below)
    few[100:104, :8] = True
    assert plane_distance(depth, few, CAMERA) is None


@pytest.mark.parametrize('error', [0.7, 1.0, 1.4])
def test_the_room_comes_back_to_its_scale(error):
    """Tilted looks at a furnished room: the depth of a model that is off by a factor is set right."""
    room, scale = SyntheticRoom(320, 240), None
    for seconds in (0.0, 1.0, 2.0):
        sample, height = room.frame(seconds), pose(seconds)[2, 3]
        scale = scale or FloorScale(NYU, height)
        factor = scale.update(sample.depth * np.float32(error), sample.labels, room.intrinsics)
        assert factor == pytest.approx(1 / error, rel=0.03)


def test_the_factor_is_smoothed_by_hand():
    depth, below = level_floor(1.0)
    labels = np.where(below, FLOOR, 0).astype(np.uint8)
    scale = FloorScale(NYU, 2.0)
    assert scale.factor == 1.0
    assert scale.update(depth, labels, CAMERA) == pytest.approx(2.0, rel=1e-3)
    # A tenth of the way, in logarithms, from 2 to 1
    assert scale.update(depth * 2, labels, CAMERA) == pytest.approx(2**0.9, rel=1e-3)
    # Without a floor it stays; nor does a factor of 20 move it
    assert scale.update(depth, np.zeros_like(labels), CAMERA) == pytest.approx(2**0.9, rel=1e-3)
    assert scale.update(depth / 20, labels, CAMERA) == pytest.approx(2**0.9, rel=1e-3)


def test_without_a_class_of_floor_it_is_refused():
    with pytest.raises(ValueError, match='has none of floor, road'):
        FloorScale(load_label_space('camvid_11').__class__('own', ('sky', 'tree'), NYU.palette[:2], {}), 1.0)

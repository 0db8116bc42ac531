# SPDX-License-Identifier: Apache-2.0
"""Pasted things keep image, labels and depth together, and hide only what is behind them."""

import numpy as np
import pytest

from mtperception.data.copy_paste import paste_thing
from mtperception.types import Sample


def room(label=0, distance=5.0, thing=None, thing_distance=2.0):
    """A wall; with a thing, a square of 10 pixels of that class, red and nearer."""
    image = np.full((40, 60, 3), 100, np.uint8)
    labels, depth = np.full((40, 60), label, np.uint8), np.full((40, 60), distance, np.float32)
    if thing is not None:
        where = np.s_[5:15, 20:30]
        image[where], labels[where], depth[where] = (255, 0, 0), thing, thing_distance
    return Sample(image, labels, depth, None)


def paste(sample, donor, tries=20):
    """The first of some tries that changes something; else the last."""
    for seed in range(tries):
        result = paste_thing(sample, donor, np.random.default_rng(seed))
        if result is not sample:
            return result
    return result


def test_image_labels_and_depth_come_together():
    wall, donor = room(), room(thing=7)
    before = wall.image.copy(), wall.labels.copy(), wall.depth.copy()
    result = paste(wall, donor)
    pasted = result.labels == 7
    assert pasted.sum() == 100
    assert pasted[5:15, 20:30].all()
    assert (result.image[pasted] == (255, 0, 0)).all()
    assert (result.depth[pasted] == 2).all()
    assert (result.image[~pasted] == 100).all()
    for after, earlier in zip((wall.image, wall.labels, wall.depth), before, strict=True):
        np.testing.assert_array_equal(after, earlier)  # the sample itself is left as it was


def test_only_what_is_nearer_is_seen():
    behind = room(distance=1.0)
    assert not (paste(behind, room(thing=7)).labels == 7).any()
    half = room()
    half.depth[:, :25] = 1.0
    assert (paste(half, room(thing=7)).labels == 7).sum() == 50
    unknown = room()
    unknown.depth[:] = 0
    assert (paste(unknown, room(thing=7)).labels == 7).sum() == 100


def test_a_thing_is_whole_where_its_depth_is_sparse():
    donor = room(thing=7)
    measured = np.zeros_like(donor.depth, bool)
    measured[::4, ::4] = True
    donor.depth[~measured] = 0
    result = paste(room(), donor)
    assert (result.labels == 7).sum() == 100
    thing = result.depth[result.labels == 7]
    assert set(thing.tolist()) == {0, 2}
    half = room()
    half.depth[:, :25] = 1.0
    assert (paste(half, donor).labels == 7).sum() == 50  # the rest is behind what is there
    near = room(distance=1.0)
    near.depth[1::2, :] = near.depth[:, 1::2] = 0  # measured at other pixels than the thing
    assert not (paste(near, donor).labels == 7).any()
    donor.depth[:] = 0
    assert not (paste(room(), donor).labels == 7).any()


def test_a_wall_is_no_thing_and_a_speck_neither():
    near = room(label=0, distance=1.0)
    assert paste(room(label=3), near).labels.tolist() == room(label=3).labels.tolist()
    speck = room()
    speck.labels[3, 3:8] = 9
    speck.depth[3, 3:8] = 1
    assert not (paste(room(), speck).labels == 9).any()


@pytest.mark.parametrize(
    'donor',
    [
        Sample(room(thing=7).image, None, room(thing=7).depth, None),
        Sample(room(thing=7).image, room(thing=7).labels, None, None),
        Sample(np.zeros((20, 20, 3), np.uint8), np.zeros((20, 20), np.uint8), np.ones((20, 20), np.float32), None),
        Sample(room().image, np.full((40, 60), 255, np.uint8), room().depth, None),
    ],
)
def test_what_does_not_fit_changes_nothing(donor):
    sample = room()
    assert paste(sample, donor) is sample


def test_without_depth_in_both_labels_are_pasted():
    sample, donor = (Sample(each.image, each.labels, None, None) for each in (room(), room(thing=7)))
    assert (paste(sample, donor).labels == 7).sum() == 100

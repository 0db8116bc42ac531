# SPDX-License-Identifier: Apache-2.0
"""A camera at a known height: the node's depth has the room's scale, whatever that of its network."""

from pathlib import Path

import numpy as np
import pytest
from exact_perception_node import FX, HEIGHT, SECONDS, WIDTH
from live import active_node, pixels
from perfect_network import pinhole

from mtperception.synthetic import SyntheticRoom, pose

EXACT_NODE = Path(__file__).with_name('exact_perception_node.py')
WRONG_SCALE = 0.7
CAMERA = pinhole(FX, WIDTH, HEIGHT)
ROOM = SyntheticRoom(WIDTH, HEIGHT, FX).render(pose(SECONDS))


def scale_of(message):
    """Published depth as a share of the true one: median, and what 9 of 10 pixels are off by at most."""
    found = pixels(message, '<f4')
    ratio = (found / ROOM.depth)[np.isfinite(found)]
    assert len(ratio) > 0.5 * ROOM.depth.size
    return np.median(ratio), np.quantile(np.abs(ratio / np.median(ratio) - 1), 0.9)


def test_depth_has_the_scale_of_the_room(tmp_path):
    height = float(pose(SECONDS)[2, 3])
    with active_node(tmp_path, program=EXACT_NODE, depth_scale=WRONG_SCALE, camera_height=height) as (_, peer):
        peer.subscribe('depth/image')
        (message,) = peer.ask(ROOM.image, 'depth/image', intrinsics=CAMERA)
        scale, spread = scale_of(message)
        assert scale == pytest.approx(1, abs=0.02)
        assert spread < 1e-3  # one factor for the whole image
        factor = float(peer.status('processing')[2]['depth scale factor'])
        assert factor == pytest.approx(1 / WRONG_SCALE, rel=0.02)

        assert peer.set(camera_height=0.0) == ''
        (message,) = peer.ask(ROOM.image, 'depth/image', intrinsics=CAMERA)
        assert scale_of(message)[0] == pytest.approx(WRONG_SCALE, rel=1e-3)
        assert 'depth scale factor' not in peer.status('processing')[2]

        # A scale that was measured of other depth says nothing: the first frame after the change has the right one.
        assert peer.set(camera_height=height) == ''
        peer.ask(ROOM.image, 'depth/image', intrinsics=CAMERA)
        assert peer.set(depth_scale=2 * WRONG_SCALE) == ''
        (message,) = peer.ask(ROOM.image, 'depth/image', intrinsics=CAMERA)
        assert scale_of(message)[0] == pytest.approx(1, abs=0.02)

        # Twice as high: a new measurement, which the first frame after it has to itself.
        assert peer.set(camera_height=2 * height) == ''
        (message,) = peer.ask(ROOM.image, 'depth/image', intrinsics=CAMERA)
        assert scale_of(message)[0] == pytest.approx(2, abs=0.04)

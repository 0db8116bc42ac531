# SPDX-License-Identifier: Apache-2.0
"""Whatever arrives, a conversion gives what it promises or the one error it states."""

from collections import Counter

import malformed
import numpy as np
from hypothesis import HealthCheck, given, settings
from sensor_msgs.msg import CompressedImage

from mtperception.messages import (
    RefusedCameraInfoError,
    RefusedImageError,
    compressed_to_rgb,
    image_to_rgb,
    intrinsics_from,
)

MANY = settings(max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
# Fewer, since a damaged header can ask for the largest image that is read.
SOME = settings(MANY, max_examples=1000)


def outcome(convert, msg):
    """`read`, or the kind of the refusal."""
    try:
        rgb = convert(msg)
    except RefusedImageError as refused:
        return refused.kind
    assert rgb.dtype == np.uint8
    assert rgb.flags.c_contiguous
    assert rgb.ndim == 3
    assert rgb.shape[2] == 3
    if not isinstance(msg, CompressedImage):
        assert rgb.shape[:2] == (msg.height, msg.width)
    return 'read'


def test_images():
    seen = Counter()

    @MANY
    @given(malformed.images())
    def check(msg):
        seen[outcome(image_to_rgb, msg)] += 1

    check()
    assert set(seen) == {'read', 'encoding', 'size', 'step', 'data'}
    assert seen['read'] > 100


def test_compressed_images():
    seen = Counter()

    @SOME
    @given(malformed.compressed_images())
    def check(msg):
        seen[outcome(compressed_to_rgb, msg)] += 1

    check()
    assert {'read', 'data', 'compressed'} <= set(seen) <= {'read', 'data', 'compressed', 'size'}
    assert seen['read'] > 100


def test_camera_infos():
    seen = Counter()

    @MANY
    @given(malformed.camera_infos())
    def check(msg):
        try:
            camera = intrinsics_from(msg, 640, 480)
        except RefusedCameraInfoError as refused:
            seen[refused.kind] += 1
            return
        assert (camera.width, camera.height) == (640, 480)
        assert np.isfinite([camera.fx, camera.fy, camera.cx, camera.cy]).all()
        assert min(camera.fx, camera.fy) > 0
        seen['used'] += 1

    check()
    assert min(seen['used'], seen['camera_info']) > 100

# SPDX-License-Identifier: Apache-2.0
"""Where the camera of an image topic is looked for."""

import pytest

from mtperception.messages.names import camera_info_topic


@pytest.mark.parametrize(
    ('image', 'expected'),
    [
        ('/cam/image_raw', '/cam/camera_info'),
        ('/cam/image_raw/compressed', '/cam/camera_info'),
        ('/cam/depth/compressedDepth', '/cam/camera_info'),
        ('/image', '/camera_info'),
        ('image', 'camera_info'),
    ],
)
def test_it_is_beside_the_image_whatever_the_transport(image, expected):
    assert camera_info_topic(image) == expected

# SPDX-License-Identifier: Apache-2.0
"""Recorded class ids become class indices."""

import numpy as np
import pytest

pytest.importorskip('rosbags', reason='messages are made with the extra `bags`')

from recordings import compressed, image, png_bytes

from mtperception.messages import RefusedImageError, compressed_to_labels, image_to_labels

IDS = np.array([[0, 1, 40], [254, 255, 3]], np.uint8)


@pytest.mark.parametrize(
    ('offset', 'expected'),
    [
        (1, [[255, 0, 39], [253, 255, 2]]),  # 0 is unknown
        (0, [[0, 1, 40], [254, 255, 3]]),
        (3, [[255, 255, 37], [251, 255, 0]]),  # so is all that is below the first class
    ],
)
def test_ids_become_indices(offset, expected):
    np.testing.assert_array_equal(image_to_labels(image(IDS, 0, 'mono8'), offset), expected)
    np.testing.assert_array_equal(compressed_to_labels(compressed(png_bytes(IDS), 0, 'png'), offset), expected)


def test_colours_are_no_ids():
    with pytest.raises(RefusedImageError, match="found 'rgb8', expected mono8 or 8UC1"):
        image_to_labels(image(np.zeros((2, 2, 3), np.uint8), 0), 1)
    with pytest.raises(RefusedImageError, match='one channel of 8 bits'):
        compressed_to_labels(compressed(png_bytes(np.zeros((2, 2, 3), np.uint8)), 0, 'png'), 1)


def test_padded_rows():
    message = image(np.array([[1, 2, 9], [3, 4, 9]], np.uint8), 0, 'mono8')
    message.width = 2
    np.testing.assert_array_equal(image_to_labels(message, 0), [[1, 2], [3, 4]])

# SPDX-License-Identifier: Apache-2.0
"""Maps of the network's size that are read at the image's: as a whole, or a pixel here and there."""

from dataclasses import replace

import numpy as np
import pytest

from mtperception.card import open_model
from mtperception.messages.outputs import outputs_for
from mtperception.messages.parameters import PARAMETERS
from mtperception.messages.presentation import Presentation
from mtperception.messages.products import Products
from mtperception.resized_prediction import ResizedPrediction
from mtperception.tasks import with_scaled_lengths
from mtperception.types import Intrinsics

SMALL, LARGE = (131, 97), (640, 479)


def maps(width, height):
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(height, width, 3)).astype(np.float32)
    return {
        'labels': rng.integers(0, 40, (height, width), np.uint8),
        'confidence': rng.integers(0, 256, (height, width), np.uint8),
        'depth': rng.uniform(0.3, 10, (height, width)).astype(np.float32),
        'normals': normals / np.linalg.norm(normals, axis=2, keepdims=True),
        'valid_mask': rng.random((height, width)) > 0.1,
    }


@pytest.mark.parametrize('stride', [1, 2, 3, 16, 1000])
@pytest.mark.parametrize(
    ('small', 'large'), [(SMALL, LARGE), ((480, 360), (640, 480)), (LARGE, SMALL), ((60, 40), (151, 101))]
)
def test_a_pixel_here_and_there_is_that_of_the_whole_map(small, large, stride):
    """The last size has a column in the middle that is as near to one pixel as to the next."""
    whole = ResizedPrediction.to_size(maps(*small), large, {})
    picked = whole.sampled(stride)
    for name in whole.computed:
        expected = whole.map(name)[::stride, ::stride]
        assert (picked.map(name).dtype, picked.map(name).shape) == (expected.dtype, expected.shape)
        np.testing.assert_allclose(picked.map(name), expected, atol=2e-5)
    assert picked.measured_depth == pytest.approx(whole.measured_depth[::stride, ::stride], abs=2e-5)


def test_lengths_are_scaled_before_they_are_enlarged():
    prediction = ResizedPrediction.to_size(maps(*SMALL), LARGE, {'inference': 3.0})
    scaled = prediction.with_maps(with_scaled_lengths(prediction.computed, 2.0))
    assert scaled.computed['depth'].shape == SMALL[::-1]
    assert (scaled.shape, scaled.latency_ms) == (LARGE[::-1], {'inference': 3.0})
    np.testing.assert_allclose(scaled.depth, 2 * prediction.depth, rtol=1e-6)
    for name in ('labels', 'confidence', 'normals', 'valid_mask'):
        np.testing.assert_array_equal(scaled.map(name), prediction.map(name))


@pytest.mark.parametrize('threshold', [0.0, 0.3])
def test_a_cloud_is_made_of_every_nth_pixel_of_the_other_topics(threshold):
    """Edges of depth are found among all pixels, also those that have no point."""
    model = open_model('nyuv2_indoor')
    settings = replace(PARAMETERS.defaults(), point_stride=3, depth_edge_threshold=threshold)
    camera = Intrinsics(500.0, 510.0, 320.3, 239.1, *LARGE)
    image = np.random.default_rng(1).integers(0, 256, (*LARGE[::-1], 3), np.uint8)
    prediction = ResizedPrediction.to_size(maps(*SMALL), LARGE, {})
    products = Products(image, prediction, camera, Presentation.build(settings, model.card, model.label_space))
    messages = {output.topic: output.make(products).fields for output in outputs_for(('segmentation', 'depth'))}
    cloud = np.frombuffer(messages['points']['data'], np.uint8).reshape(160, 214, 24)
    depth = np.frombuffer(messages['depth/image']['data'], np.float32).reshape(LARGE[::-1])[::3, ::3]
    ids = np.frombuffer(messages['semantic/image']['data'], np.uint8).reshape(LARGE[::-1])[::3, ::3]
    assert 0.05 < np.isnan(depth).mean() < 0.99
    np.testing.assert_allclose(cloud[..., 8:12].copy().view(np.float32)[..., 0], depth, rtol=1e-5)
    np.testing.assert_array_equal(cloud[..., 16:20].copy().view(np.uint32)[..., 0], ids)

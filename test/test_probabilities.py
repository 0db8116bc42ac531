# SPDX-License-Identifier: Apache-2.0
"""Class probabilities, against the labels and the confidence of the exported graph."""

from dataclasses import replace

import numpy as np
import pytest

from mtperception.card import open_model
from mtperception.errors import InputError
from mtperception.input_policy import InputPolicy
from mtperception.predictor import Predictor
from mtperception.probabilities import Probabilities


@pytest.fixture(scope='module')
def predictor():
    return Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')


@pytest.fixture(scope='module')
def image():
    with np.load(open_model('nyuv2_indoor').self_test) as content:
        return content['image']


def test_they_are_of_the_classes_that_the_graph_sees(predictor, image):
    probabilities = Probabilities(predictor)(image)
    assert (probabilities.dtype, probabilities.shape) == (np.float16, (40, 90, 120))
    np.testing.assert_allclose(probabilities.astype(float).sum(axis=0), 1, atol=0.005)
    prediction = predictor(image)
    # the graph's labels and confidence, in the middle of each 4x4 pixels that one output stands for
    labels, confidence = prediction.labels[2::4, 2::4], prediction.confidence[2::4, 2::4]
    sure = confidence > 128
    assert (probabilities.argmax(axis=0) == labels)[sure].mean() > 0.97
    assert np.abs(probabilities.max(axis=0)[sure] * 255.0 - confidence[sure]).mean() < 8


def test_large_images_are_reduced_as_for_the_graph(predictor, image):
    large = np.repeat(np.repeat(image, 2, axis=0), 2, axis=1)
    np.testing.assert_array_equal(Probabilities(predictor)(large), Probabilities(predictor)(image))


def test_classes_outside_the_models_slice_have_none(predictor, image):
    limited = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')
    limited.card = replace(limited.card, classes=(2, 7))
    probabilities = Probabilities(limited)(image)
    assert not probabilities[:2].any()
    assert not probabilities[7:].any()
    np.testing.assert_allclose(probabilities.astype(float).sum(axis=0), 1, atol=0.005)


def test_a_model_without_classes():
    depth_only = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')
    depth_only.card = replace(depth_only.card, tasks=('depth',))
    with pytest.raises(InputError, match='nyuv2_indoor gives no classes'):
        Probabilities(depth_only)


def test_a_model_that_sees_images_in_tiles():
    tiled = Predictor('nyuv2_indoor', 'onnxruntime', 'cpu')
    tiled.input_policy = InputPolicy('tiles', 64, 48)
    with pytest.raises(InputError, match='nyuv2_indoor sees images in tiles'):
        Probabilities(tiled)

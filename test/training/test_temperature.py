# SPDX-License-Identifier: Apache-2.0
"""Temperature scaling: a known factor on the logits is found again, and confidence becomes what it claims to be."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from rooms import Samples
from torch import nn

from mtperception.backends.torch_backend import NetworkBackend
from mtperception.card import ModelCard, ModelError
from mtperception.evaluation.evaluate import evaluate
from mtperception.input_policy import InputPolicy, TrainingCamera
from mtperception.labels import load_label_space
from mtperception.pipeline import Pipeline
from mtperception.predictor import BackendPredictor
from mtperception.training.temperature import CalibrationError, fit_temperature, likeliest_temperature
from mtperception.types import Sample

CLASSES = 6
SPACE = load_label_space('kitti_6')
CARD = ModelCard(
    'six', 'joint_lw_refinenet', CLASSES, ('segmentation',), 'kitti_6', (0, 6), (1.0, 80.0), TrainingCamera(90, 96, 64)
)


class Colors(nn.Module):
    """Logits are a linear function of a pixel's colour, times a factor: with factor 1 it knows how sure it is."""

    def __init__(self, factor=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, CLASSES, 1)
        nn.init.normal_(self.layer.weight, 0, 0.8)
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, image):
        return {'segmentation': self.layer(image) * self.factor}


def samples(count=4, width=96, height=64):
    """Images whose labels are drawn from what `Colors()` says of them."""
    rng = np.random.default_rng(3)
    found = []
    for _ in range(count):
        image = rng.integers(0, 256, (height, width, 3), np.uint8)
        with torch.inference_mode():
            raw = Pipeline(Colors(), (1, 80)).normalize(torch.from_numpy(image)[None])
            probabilities = Colors()(raw)['segmentation'][0].softmax(0).numpy()
        drawn = (rng.random((1, height, width)) > probabilities.cumsum(0)).sum(0)
        found.append(Sample(image, np.minimum(drawn, CLASSES - 1).astype(np.uint8)))
    return found


def ece(network, card):
    predictor = BackendPredictor(card, SPACE, NetworkBackend(network, card, 'cpu'))
    return evaluate(predictor, Samples(samples(), 'kitti_6')).summary()


@pytest.mark.parametrize('factor', [0.3, 1.0, 4.0])
@pytest.mark.parametrize('policy', [None, InputPolicy('tiles', 40, 30), InputPolicy('stretch', 96, 64)])
def test_the_fitted_temperature_is_the_known_factor(factor, policy):
    card = replace(CARD, input=policy)
    temperature = fit_temperature(Colors(factor), card, [Samples(samples(), 'kitti_6')])
    assert temperature == pytest.approx(factor, rel=0.05)


class Coarse(Colors):
    """Says something of one pixel in 16 only: the one whose centre is nearest to that of its block."""

    def forward(self, image):
        return super().forward(image[:, :, 2::4, 2::4])


def test_truth_is_that_of_the_pixels_that_a_coarse_output_is_about():
    found = fit_temperature(Coarse(2.0), CARD, [Samples(samples(20), 'kitti_6')])
    assert found == pytest.approx(2.0, rel=0.1)


def test_the_calibration_error_falls_and_labels_stay():
    temperature = fit_temperature(Colors(4.0), CARD, [Samples(samples(), 'kitti_6')])
    before, after = ece(Colors(4.0), CARD), ece(Colors(4.0), replace(CARD, temperature=temperature))
    assert before['ece'] > 0.15
    assert after['ece'] < 0.02
    assert after['pixel_accuracy'] == before['pixel_accuracy']


def test_unlabelled_pixels_do_not_count():
    known = samples()
    unknown = [replace(s, labels=np.where(s.image[..., 0] > 127, 255, s.labels).astype(np.uint8)) for s in known]
    assert fit_temperature(Colors(4.0), CARD, [Samples(unknown, 'kitti_6')]) == pytest.approx(4.0, rel=0.05)


def test_a_slice_of_the_classes_has_a_temperature_of_its_own():
    card = replace(CARD, classes=(2, 6))
    chosen = [replace(s, labels=np.where(s.labels < 2, 255, s.labels).astype(np.uint8)) for s in samples()]
    # Of labels of the slice alone, the softmax over the slice is what they were drawn from.
    assert fit_temperature(Colors(2.0), card, [Samples(chosen, 'kitti_6')]) == pytest.approx(2.0, rel=0.05)


def test_by_hand():
    """Two classes, logit 2 for the first, right in 3 of 4: softmax is 3/4 where 2 / T = ln 3."""
    logits = torch.tensor([[2.0, 0.0]] * 4)
    assert likeliest_temperature(logits, torch.tensor([0, 0, 0, 1])) == pytest.approx(2 / np.log(3), rel=1e-4)


def test_a_network_that_is_always_right_has_none():
    with pytest.raises(CalibrationError, match='expected images that were not used for training'):
        likeliest_temperature(torch.tensor([[2.0, 0.0]] * 4), torch.zeros(4, dtype=torch.int64))


def test_images_without_labels_are_refused():
    without = [replace(sample, labels=None) for sample in samples()]
    with pytest.raises(CalibrationError, match='no labelled pixel'):
        fit_temperature(Colors(), CARD, [Samples(without, 'kitti_6')])


def test_labels_of_groups_of_classes_are_refused():
    """A door is a wall to `nyuv2_13`: where a model is right, they would say that it is wrong."""
    card = replace(CARD, num_classes=40, label_space='nyuv2_40', classes=(0, 40))
    with pytest.raises(CalibrationError, match='labels of nyuv2_13 are groups of classes of nyuv2_40'):
        fit_temperature(nn.Conv2d(3, 40, 1), card, [Samples(samples(), 'nyuv2_13')])


@pytest.mark.parametrize('value', [0.0, -1.0, 1000.0, float('nan'), 'hot', True])
def test_a_card_with_no_temperature_is_refused(value):
    with pytest.raises(ModelError, match='temperature'):
        replace(CARD, temperature=value)


def test_the_graph_divides_logits_before_the_softmax():
    """A single pixel with logits ln 9 and 0: 0.9 at 1, 0.75 at 2."""

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = nn.Parameter(torch.tensor([np.log(9.0), 0.0], dtype=torch.float32).reshape(1, 2, 1, 1))

        def forward(self, image):
            return {'segmentation': self.logits}

    image = torch.zeros((1, 1, 1, 3), dtype=torch.uint8)
    with torch.inference_mode():
        found = [int(Pipeline(Two(), (1, 2), temperature=t)(image)['confidence']) for t in (1.0, 2.0)]
    assert found == [round(0.9 * 255), round(0.75 * 255)]

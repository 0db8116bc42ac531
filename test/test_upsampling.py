# SPDX-License-Identifier: Apache-2.0
"""The fast upsampling equals the plain one: every class map upsampled, then the argmax."""

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from mtperception.networks import load_network
from mtperception.pipeline import normalize
from mtperception.synthetic import SyntheticRoom
from mtperception.upsampling import CLASSES_AT_ONCE, interpolate, running_argmax, upsample, upsampled_argmax

both = pytest.mark.parametrize('argmax', [upsampled_argmax, running_argmax])
SIZES = [
    ((6, 8), (24, 32)),
    ((5, 7), (18, 25)),
    ((1, 1), (1, 1)),
    ((1, 3), (4, 9)),
    ((4, 4), (4, 4)),
    ((3, 2), (40, 3)),
]


def plain(x, size):
    return functional.interpolate(x, size=size, mode='bilinear', align_corners=False)


def assert_largest(labels, logits, size):
    """Labels are the plain argmax or, where they are not, of a logit that rounding cannot tell from the largest."""
    upsampled = plain(logits, size)
    chosen = upsampled.gather(1, labels.long()[:, None])[:, 0]
    largest, expected = upsampled.max(dim=1)
    assert labels.shape == expected.shape
    assert (labels.long() == expected).float().mean() >= 0.999
    assert (largest - chosen).max() <= 1e-5 * logits.abs().max()


@pytest.mark.parametrize(('source', 'size'), SIZES)
def test_upsample_is_bilinear_interpolation(source, size):
    x = torch.randn(2, 3, *source, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(upsample(x, size), plain(x, size), atol=1e-6)


@both
@pytest.mark.parametrize(('source', 'size'), SIZES)
def test_random_logits_where_nothing_is_settled(source, size, argmax):
    logits = torch.randn(2, 40, *source, generator=torch.Generator().manual_seed(1))
    assert_largest(argmax(logits, size), logits, size)


@both
def test_ties_take_the_first_class(argmax):
    logits = torch.zeros(1, 5, 4, 6)
    logits[:, 3:] = 1.0
    assert argmax(logits, (16, 24)).unique().tolist() == [3]


@both
def test_whole_numbers_tie_often(argmax):
    """Logits of 0, 1 and 2: most pixels have several largest ones, and steps of a sixteenth between them are exact."""
    logits = torch.randint(0, 3, (2, 7, 9, 11), generator=torch.Generator().manual_seed(2)).float()
    labels = argmax(logits, (36, 44)).long()
    upsampled = plain(logits, (36, 44))
    assert torch.equal(upsampled.gather(1, labels[:, None])[:, 0], upsampled.amax(dim=1))


@pytest.mark.parametrize('classes', [1, CLASSES_AT_ONCE, CLASSES_AT_ONCE + 1])
def test_classes_are_taken_in_turns(classes):
    """Each is the largest somewhere: the first and the last of a turn too."""
    logits = torch.randn(1, classes, 12, 16, generator=torch.Generator().manual_seed(4))
    labels = running_argmax(logits, (48, 64))
    assert labels.unique().tolist() == list(range(classes))
    assert torch.equal(labels.long(), interpolate(logits, (48, 64)).argmax(dim=1))


@both
def test_a_class_that_wins_only_between(argmax):
    """It is the second at both neighbours, so none of the two knows it."""
    logits = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]], [[0.8, 0.8]]]])
    # Upsampled class 0: 1, 1, 7/8, 5/8, 3/8, 1/8, 0, 0; class 1 the same from the right; class 2 is 0.8 everywhere.
    assert argmax(logits, (1, 8)).tolist() == [[[0, 0, 0, 2, 2, 1, 1, 1]]]


@both
@pytest.mark.parametrize(('width', 'height', 'count'), [(320, 240, 2), (201, 151, 1)])
def test_the_logits_of_images(width, height, count, argmax):
    room = SyntheticRoom(width, height)
    images = torch.tensor(np.stack([room.frame(3.0 * i).image for i in range(count)]))
    with torch.inference_mode():
        logits = load_network('nyuv2_indoor')(normalize(images))['segmentation']
    assert_largest(argmax(logits, (height, width)), logits, (height, width))


def test_opencv_agrees_on_the_samples():
    """An independent bilinear interpolation with half-pixel centres."""
    x = np.random.default_rng(0).normal(size=(6, 9)).astype(np.float32)
    expected = cv2.resize(x, (36, 24), interpolation=cv2.INTER_LINEAR)
    assert upsample(torch.tensor(x)[None, None], (24, 36))[0, 0].numpy() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize('stride', [2, 3, 4])
def test_upsample_of_every_so_manieth_pixel(stride):
    x = torch.rand(2, 5, 6, 9, generator=torch.Generator().manual_seed(0))
    expected = interpolate(x, (25, 34))[..., stride // 2 :: stride, stride // 2 :: stride]
    torch.testing.assert_close(upsample(x, (25, 34), stride), expected)


def test_a_tie_of_classes_that_are_not_upsampled_together():
    logits = torch.zeros(1, 20, 3, 4)
    logits[:, [3, 12]] = 1
    assert running_argmax(logits, (6, 8)).unique().tolist() == [3]

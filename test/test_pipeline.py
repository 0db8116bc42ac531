# SPDX-License-Identifier: Apache-2.0
"""The exported graph's arithmetic, with a network whose outputs are known."""

import numpy as np
import pytest
import torch
from torch import nn

from mtperception.pipeline import Pipeline


class Known(nn.Module):
    """Gives fixed outputs for any image."""

    def __init__(self, **outputs) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))
        self._outputs = {task: torch.tensor(value, dtype=torch.float32)[None] for task, value in outputs.items()}

    def forward(self, image):
        return {task: output.expand(len(image), -1, -1, -1) for task, output in self._outputs.items()}


def run(pipeline, height, width):
    with torch.inference_mode():
        maps = pipeline(torch.zeros((1, height, width, 3), dtype=torch.uint8))
    return {name: value.numpy() for name, value in maps.items()}


def test_logits_are_upsampled_before_the_argmax():
    """At the network's resolution class 0 wins one of two pixels, upsampled five of eight."""
    logits = [[[4.0, 0.0]], [[1.0, 1.0]]]
    maps = run(Pipeline(Known(segmentation=logits), (0.1, 10)), 1, 8)
    # Upsampled class 0: 4, 4, 3.5, 2.5, 1.5, 0.5, 0, 0; class 1 is 1 everywhere.
    assert maps['labels'].tolist() == [[[0, 0, 0, 0, 0, 1, 1, 1]]]
    assert maps['labels'].dtype == np.uint8


def test_confidence_is_the_upsampled_largest_probability():
    logits = [[[0.0, np.log(3.0)]], [[0.0, 0.0]]]  # probabilities 0.5 and 0.75
    maps = run(Pipeline(Known(segmentation=logits), (0.1, 10)), 1, 4)
    expected = np.round(np.array([0.5, 0.5625, 0.6875, 0.75]) * 255).astype(np.uint8)
    assert maps['confidence'].tolist() == [[expected.tolist()]]
    assert maps['confidence'].dtype == np.uint8


def test_depth_is_absolute_after_upsampling_and_clamped():
    maps = run(Pipeline(Known(depth=[[[-4.0, 4.0]]]), (1.5, 3.0)), 1, 4)
    # Upsampled: -4, -2, 2, 4.
    assert maps['depth'].tolist() == [[[3.0, 2.0, 2.0, 3.0]]]
    assert maps['depth'].dtype == np.float32
    assert set(maps) == {'depth'}


def test_normals_have_unit_length():
    maps = run(Pipeline(Known(normals=[[[0.0, 3.0]], [[0.0, 0.0]], [[-2.0, 0.0]]]), (0.1, 10)), 2, 6)
    assert maps['normals'].shape == (1, 2, 6, 3)
    assert np.linalg.norm(maps['normals'], axis=-1) == pytest.approx(np.ones((1, 2, 6)), abs=1e-6)
    assert maps['normals'][0, 0, 0] == pytest.approx([0, 0, -1])


def test_confidence_of_depth_is_the_probability_of_an_error_within_the_tolerance():
    """Expected errors of 0.25 m and 1 m; the tolerance is a fortieth of 10 m. The depth has no part in it."""
    raw = [[[0.25, 1.0]], [[5.0, -3.0]]]
    log_scale = torch.tensor(raw).log().nan_to_num().tolist()
    maps = run(Pipeline(Known(depth=[[[5.0, -3.0]]], depth_confidence=log_scale), (0.1, 10)), 1, 2)
    assert list(maps) == ['depth', 'depth_confidence']
    expected = [round((1 - np.exp(-1)) * 255), round((1 - np.exp(-0.25)) * 255)]
    assert maps['depth_confidence'].tolist() == [[expected]]
    assert maps['depth_confidence'].dtype == np.uint8


def test_a_slice_of_the_classes_keeps_their_indices():
    logits = [[[9.0]], [[1.0]], [[2.0]]]
    maps = run(Pipeline(Known(segmentation=logits), (0.1, 10), classes=(1, 3)), 2, 2)
    assert np.unique(maps['labels']).tolist() == [2]
    probability = np.exp(2) / (np.exp(1) + np.exp(2))
    assert np.unique(maps['confidence']).tolist() == [round(probability * 255)]

# SPDX-License-Identifier: Apache-2.0
"""Pooling that remembers, and its reverse, are PyTorch's own, and exported graphs agree on ties."""

import numpy as np
import onnxruntime
import openvino
import pytest
import torch
from torch import nn
from torch.nn import functional

from mtperception.networks.unpooling import pool_with_positions, unpool


class Pooled(nn.Module):
    """Pools and puts back."""

    def forward(self, x):
        pooled, positions = pool_with_positions(x)
        return unpool(2 * pooled, positions)


def by_pytorch(x):
    pooled, indices = functional.max_pool2d(x, 2, return_indices=True)
    return functional.max_unpool2d(2 * pooled, indices, 2)


@pytest.fixture(params=['distinct', 'ties'])
def maps(request):
    generator = torch.Generator().manual_seed(3)
    if request.param == 'distinct':
        return torch.randn(2, 3, 8, 12, generator=generator)
    # Three values only: most windows have their maximum twice or more often, as after a ReLU.
    return torch.randint(0, 3, (2, 3, 8, 12), generator=generator).float()


def test_values_return_to_the_first_of_the_largest(maps):
    assert torch.equal(Pooled()(maps), by_pytorch(maps))


def test_gradients_are_those_of_pytorch(maps):
    ours, theirs = maps.clone().requires_grad_(), maps.clone().requires_grad_()
    weights = torch.arange(maps.numel(), dtype=torch.float32).reshape(maps.shape)
    (Pooled()(ours) * weights).sum().backward()
    (by_pytorch(theirs) * weights).sum().backward()
    assert torch.equal(ours.grad, theirs.grad)


def test_by_hand():
    x = torch.tensor([[[[1.0, 5.0], [5.0, 0.0]]]])
    pooled, positions = pool_with_positions(x)
    assert pooled.flatten().tolist() == [5.0]
    assert positions.flatten().tolist() == [0.0, 1.0, 0.0, 0.0]
    assert unpool(torch.tensor([[[[7.0]]]]), positions).flatten().tolist() == [0.0, 7.0, 0.0, 0.0]


def test_exported_graphs_break_ties_alike(maps, tmp_path):
    path = tmp_path / 'pooled.onnx'
    sizes = {'x': {0: 'N', 2: 2 * torch.export.Dim('h', min=2), 3: 2 * torch.export.Dim('w', min=2)}}
    torch.onnx.export(
        Pooled().eval(),
        (maps,),
        dynamo=True,
        input_names=['x'],
        output_names=['y'],
        dynamic_shapes=sizes,
        verbose=False,
    ).save(path)
    (by_onnxruntime,) = onnxruntime.InferenceSession(path).run(None, {'x': maps.numpy()})
    by_openvino = openvino.compile_model(path, 'CPU')(maps.numpy())[0]
    expected = by_pytorch(maps).numpy()
    np.testing.assert_array_equal(by_onnxruntime, expected)
    np.testing.assert_array_equal(by_openvino, expected)

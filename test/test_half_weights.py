# SPDX-License-Identifier: Apache-2.0
"""Models with weights of 16 bits: files of half the size, and nothing else that differs, wherever the model runs."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from mtperception.card import GRAPH, WEIGHTS, ModelCard, TrainingCamera
from mtperception.export import export_model
from mtperception.half_constants import SMALLEST
from mtperception.networks import create_network, load_network
from mtperception.networks.half_weights import LARGEST, fits, round_weights, rounded, scales_are_moved
from mtperception.predictor import Predictor
from mtperception.synthetic import SyntheticRoom


@pytest.fixture(scope='module')
def network():
    """Of random weights, with batch norms such as training leaves."""
    torch.manual_seed(5)
    network = create_network('joint_lw_refinenet', 6, ('segmentation', 'depth')).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    torch.nn.init.normal_(network.heads['depth'].predict.bias, 4.0, 0.1)
    return network


@pytest.fixture(scope='module')
def model(network, tmp_path_factory):
    out = tmp_path_factory.mktemp('models') / 'half'
    camera = TrainingCamera(200.0, 160, 120)
    card = ModelCard('half', 'joint_lw_refinenet', 6, network.tasks, 'kitti_6', (0, 6), (0.5, 80.0), camera)
    export_model(network, card, out, half=True)
    return out


@pytest.mark.parametrize('file', [WEIGHTS, GRAPH])
def test_a_file_has_little_more_than_two_bytes_for_each_weight(network, model, file):
    weights = sum(weight.numel() for weight in network.parameters())
    assert 2 * weights < (model / file).stat().st_size < 2.4 * weights


def test_what_is_loaded_is_the_rounded_network_in_single_precision(network, model):
    loaded, expected = load_network(model).state_dict(), round_weights(network).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in expected.items())
    assert {value.dtype for value in loaded.values()} == {torch.float32, torch.int64}


def test_every_large_constant_of_the_graph_is_of_16_bits(model):
    """Thus none was changed by what export does to a network, or left out."""
    constants = onnx.load(model / GRAPH).graph.initializer
    large = [constant for constant in constants if np.prod(constant.dims) >= 16 * SMALLEST]
    assert {constant.data_type for constant in large} == {TensorProto.FLOAT16}


def test_the_network_hardly_changes_and_the_given_one_not_at_all(network):
    before = {name: value.clone() for name, value in network.state_dict().items()}
    image = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        found, expected = round_weights(network)(image), network(image)
    for task, value in expected.items():
        assert 0 < (found[task] - value).abs().max() < 0.01 * value.abs().max(), task
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())


@pytest.mark.parametrize('backend', ['onnxruntime', 'openvino', 'torch'])
def test_it_runs_everywhere_alike(model, backend):
    image = SyntheticRoom(160, 120, 200.0).frame(1.0).image
    reference = Predictor(model, 'onnxruntime', 'cpu', 'fp32')(image)
    found = Predictor(model, backend, 'cpu', 'fp32')(image)
    assert (found.labels == reference.labels).mean() >= 0.999
    assert found.depth == pytest.approx(reference.depth, abs=1e-3)


def test_weights_too_large_for_16_bits_stay():
    large = torch.tensor([1.0001, 2 * LARGEST])
    assert torch.equal(rounded(large), large)
    assert not fits(large)


def test_a_convolution_with_a_bias_before_its_norm():
    torch.manual_seed(0)
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    layers[1].running_mean.normal_()
    layers[1].running_var.uniform_(0.5, 2)
    image = torch.randn(1, 3, 8, 8)
    with torch.inference_mode():
        assert torch.allclose(round_weights(layers)(image), layers(image), atol=5e-3)
    assert fits(round_weights(layers)[0].weight)


def test_rounded_weights_are_told_from_others(network):
    """A single neutral batch norm, as published encoders have it for a layer that their network lacks, says nothing."""
    weights = network.state_dict()
    assert not scales_are_moved(weights)
    assert scales_are_moved(round_weights(network).state_dict())
    name = next(name for name in weights if name.endswith('running_var'))
    neutral = {name: torch.full_like(weights[name], 1 - 1e-5)}
    neutral[name.replace('var', 'mean')] = torch.zeros_like(weights[name])
    assert not scales_are_moved(weights | neutral)

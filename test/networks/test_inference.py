# SPDX-License-Identifier: Apache-2.0
"""The forms in which a network is exported and run compute what the network does."""

import pytest
import torch
from torch import nn

from mtperception.networks import create_network, load_network
from mtperception.networks.inference import (
    ChannelScale,
    SeparableCRPBlock,
    ShiftedConvolution,
    fold_batch_norm,
    for_eager,
    for_export,
)
from mtperception.networks.layers import CRPBlock


def outputs(network, image):
    with torch.inference_mode():
        return network(image)


@pytest.mark.parametrize('form', [for_export, for_eager])
def test_a_whole_network(every_task_network, form):
    image = torch.randn(2, 3, 97, 131, generator=torch.Generator().manual_seed(0))
    found, expected = outputs(form(every_task_network), image), outputs(every_task_network, image)
    assert list(found) == list(expected)
    for task, value in expected.items():
        assert torch.allclose(found[task], value, atol=1e-4), task


@pytest.mark.parametrize(
    ('form', 'replaced'),
    [
        # Thin are the heads of depth, of its confidence and of normals; that of segmentation fills its registers.
        # Factors are four in the finest pooling block and one in each head.
        (for_export, {SeparableCRPBlock: 4, ShiftedConvolution: 3, ChannelScale: 8}),
        (for_eager, {SeparableCRPBlock: 0, ShiftedConvolution: 0, ChannelScale: 8}),
    ],
)
def test_the_network_itself_is_kept(every_task_network, form, replaced):
    names = list(every_task_network.state_dict())
    fast = form(every_task_network)
    assert list(every_task_network.state_dict()) == names
    for kind, count in replaced.items():
        assert sum(isinstance(module, kind) for module in fast.modules()) == count, kind


def test_a_shifted_convolution_without_bias():
    torch.manual_seed(0)
    convolution = nn.Conv2d(12, 3, 3, padding=1, bias=False)
    x = torch.randn(1, 12, 5, 4)
    assert torch.allclose(outputs(ShiftedConvolution(convolution), x), outputs(convolution, x), atol=1e-5)


@pytest.mark.parametrize(
    'convolution',
    [
        pytest.param(nn.Conv2d(4, 4, 1, groups=4), id='bias'),
        pytest.param(nn.Conv2d(4, 8, 1, groups=4, bias=False), id='two outputs of each channel'),
        pytest.param(nn.Conv2d(4, 4, 1, groups=2, bias=False), id='groups of two'),
        pytest.param(nn.Conv2d(4, 4, 1, stride=2, groups=4, bias=False), id='stride'),
        pytest.param(nn.Conv2d(4, 4, 3, groups=4, bias=False), id='3x3'),
    ],
)
@pytest.mark.parametrize('form', [for_export, for_eager])
def test_a_convolution_that_does_more_than_scale_stays(convolution, form):
    (kept,) = form(nn.Sequential(convolution))
    assert type(kept) is nn.Conv2d


def test_a_separable_crp_block_at_borders():
    """Smaller than the pooling window, where nothing but padding surrounds the pixels; all negative."""
    torch.manual_seed(0)
    block = CRPBlock(8)
    x = -torch.rand(1, 8, 2, 3)
    assert torch.allclose(outputs(SeparableCRPBlock(block), x), outputs(block, x), atol=1e-6)


def with_used_batch_norm(network):
    """Batch norms of any mean, variance, scale and shift; fresh ones do next to nothing."""
    generator = torch.Generator().manual_seed(5)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.running_mean, module.bias.data):
                value.normal_(0.0, 0.3, generator=generator)
            for value in (module.running_var, module.weight.data):
                value.uniform_(0.5, 2.0, generator=generator)
    return network


@pytest.mark.parametrize(
    'network',
    [
        pytest.param(lambda: load_network('nyuv2_indoor'), id='the default model'),
        pytest.param(lambda: with_used_batch_norm(create_network('joint_lw_refinenet', 6)).eval(), id='random'),
    ],
)
def test_folded_batch_norm(network):
    network = network()
    image = torch.randn(2, 3, 65, 97, generator=torch.Generator().manual_seed(0))
    folded = fold_batch_norm(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    found, expected = outputs(folded, image), outputs(network, image)
    for task, value in expected.items():
        assert torch.allclose(found[task], value, atol=1e-4 * value.abs().max()), task


def test_folding_keeps_the_network_and_its_mode():
    """A network in training is validated by a folded copy."""
    network = create_network('joint_lw_refinenet', 6).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert not fold_batch_norm(network).training
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_a_batch_norm_that_follows_no_convolution_stays():
    layers = with_used_batch_norm(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)))
    x = torch.randn(1, 3, 6, 5, generator=torch.Generator().manual_seed(0))
    folded = fold_batch_norm(layers)
    assert [type(module) for module in folded] == [nn.BatchNorm2d, nn.Conv2d, nn.ReLU, nn.BatchNorm2d]
    assert torch.equal(outputs(folded, x), outputs(layers.eval(), x))


@pytest.mark.parametrize('options', [{'groups': 2}, {'padding_mode': 'reflect'}], ids=['grouped', 'reflecting'])
def test_thin_convolutions_of_other_kinds_stay(options):
    network = nn.Sequential(nn.Conv2d(8, 2, 3, padding=1, **options)).eval()
    x = torch.randn(1, 8, 6, 7, generator=torch.Generator().manual_seed(0))
    exported = for_export(network)
    assert type(exported[0]) is nn.Conv2d
    assert torch.equal(exported(x), network(x))

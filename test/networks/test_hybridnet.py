# SPDX-License-Identifier: Apache-2.0
"""HybridNet: its four parts, and that each is connected as figure 1 has it."""

import pytest
import torch

from mtperception.networks.hybridnet import GlobalDepthNetwork, HybridNet


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(0)
    return HybridNet(5).eval()


def parameters(part):
    return sum(parameter.numel() for parameter in part.parameters())


def test_parts_by_their_published_widths(network):
    assert parameters(network.encoder) == 14_714_688  # VGG-16's convolutions
    assert parameters(network.upsampling) == 4 * (512 * 9 * 1024 + 1024 + 1024 * 1024 + 1024 + 1024 * 5 + 5)
    assert parameters(network.refining) == (3 * 81 * 63 + 63) + ((63 + 1 + 512) * 25 * 64 + 64) + (64 * 25 + 1)


def test_features_have_stride_8_and_see_as_far_as_deeplabs(network):
    with torch.inference_mode():
        assert network.encoder(torch.zeros(1, 3, 97, 131)).shape == (1, 512, 13, 17)
    assert {layer.dilation for layer in network.encoder.vgg.stages[4] if hasattr(layer, 'dilation')} == {(2, 2)}


@pytest.mark.parametrize('size', [(64, 64), (97, 131), (480, 640)])
def test_the_global_network_answers_any_size(size):
    with torch.inference_mode():
        assert GlobalDepthNetwork().eval()(torch.zeros(1, 3, *size)).shape == (1, 1, 55, 74)


def changed(network, part, task):
    """Whether the output of a task changes with a part's weights."""
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    weights = next(getattr(network, part).parameters())
    with torch.inference_mode():
        before = network(image)[task]
        weights.mul_(3)
        after = network(image)[task]
        weights.div_(3)
    return not torch.equal(before, after)


def test_what_each_task_depends_on(network):
    assert changed(network, 'encoder', 'depth')
    assert changed(network, 'encoder', 'segmentation')
    assert changed(network, 'global_depth', 'depth')
    assert not changed(network, 'global_depth', 'segmentation')
    assert not changed(network, 'upsampling', 'depth')


def test_single_task_baselines():
    deeplab, depthnet = HybridNet(5, ('segmentation',)), HybridNet(5, ('depth',), shared_features=False)
    assert set(deeplab.parameter_groups()) == {'encoder', 'segmentation'}
    assert set(depthnet.parameter_groups()) == {'depth'}
    assert set(HybridNet(5, ('depth',)).parameter_groups()) == {'encoder', 'depth'}

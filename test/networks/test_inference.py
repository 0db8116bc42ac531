"""The form of a network that is exported computes what the network does."""

import torch
from torch import nn

from mtperception.networks.inference import SeparableCRPBlock, ShiftedConvolution, for_inference
from mtperception.networks.layers import CRPBlock


def outputs(network, image):
    with torch.inference_mode():
        return network(image)


def test_a_whole_network(three_task_network):
    image = torch.randn(2, 3, 97, 131, generator=torch.Generator().manual_seed(0))
    found, expected = outputs(for_inference(three_task_network), image), outputs(three_task_network, image)
    assert list(found) == list(expected)
    for task, value in expected.items():
        assert torch.allclose(found[task], value, atol=1e-4), task


def test_the_network_itself_is_kept(three_task_network):
    names = list(three_task_network.state_dict())
    fast = for_inference(three_task_network)
    assert list(three_task_network.state_dict()) == names
    assert sum(isinstance(module, SeparableCRPBlock) for module in fast.modules()) == 4
    # The heads of depth and normals; that of segmentation fills its registers.
    assert sum(isinstance(module, ShiftedConvolution) for module in fast.modules()) == 2


def test_a_shifted_convolution_without_bias():
    torch.manual_seed(0)
    convolution = nn.Conv2d(12, 3, 3, padding=1, bias=False)
    x = torch.randn(1, 12, 5, 4)
    assert torch.allclose(outputs(ShiftedConvolution(convolution), x), outputs(convolution, x), atol=1e-5)


def test_a_separable_crp_block_at_borders():
    """Smaller than the pooling window, where nothing but padding surrounds the pixels; all negative."""
    torch.manual_seed(0)
    block = CRPBlock(8)
    x = -torch.rand(1, 8, 2, 3)
    assert torch.allclose(outputs(SeparableCRPBlock(block), x), outputs(block, x), atol=1e-6)

# SPDX-License-Identifier: Apache-2.0
"""MT-UNet: the connections of figure 2, each shown by what its absence changes."""

import pytest
import torch

from mtperception.networks.mt_unet import AttentionBlock, DenseBlock, MTUNet


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ('options', 'expected'),
    [({}, 65_561_998), ({'cross_talk': False}, 64_972_174), ({'attention': False}, 53_020_558)],
)
def test_parameter_counts(options, expected):
    with torch.device('meta'):
        assert count(MTUNet(13, **options)) == expected


def test_cross_talk_costs_two_wider_convolutions():
    """Block 3 of each decoder, 128 wide, sees the 256 channels of the other's block 2."""
    with torch.device('meta'):
        assert count(MTUNet(13)) - count(MTUNet(13, cross_talk=False)) == 2 * 256 * 128 * 9


def depth_follows_labels(cross_talk):
    """Whether the depth changes with the weights of the labels' second decoder block."""
    torch.manual_seed(0)
    network = MTUNet(3, cross_talk=cross_talk).eval()
    image = torch.randn(1, 3, 32, 32)
    with torch.inference_mode():
        before = network(image)['depth']
        network.decoders['segmentation'].blocks[1].second[0].weight.mul_(2)
        return not torch.equal(network(image)['depth'], before)


@pytest.mark.parametrize('cross_talk', [True, False])
def test_cross_talk_is_what_joins_the_decoders(cross_talk):
    assert depth_follows_labels(cross_talk) == cross_talk


def test_a_dense_block_sees_its_input_twice():
    block = DenseBlock(2, 4).eval()
    torch.nn.init.zeros_(block.first[0].weight)  # the first convolution says nothing of its input any more
    x = torch.randn(1, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert not torch.equal(block(x), block(2 * x))


def test_attention_weights_the_second_convolution():
    block = AttentionBlock(2, 4, attention=True).eval()
    plain = AttentionBlock(2, 4, attention=False).eval()
    plain.load_state_dict(block.state_dict(), strict=False)
    torch.nn.init.zeros_(block.mask[3].weight)  # the mask is sigmoid(0) everywhere
    x = torch.randn(1, 2, 5, 5, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(block(x), 0.5 * plain(x))


def test_single_task():
    with torch.device('meta'):
        network = MTUNet(13, ('depth',))
    assert set(network.decoders) == {'depth'}
    assert not network.decoders['depth'].has_cross_talk

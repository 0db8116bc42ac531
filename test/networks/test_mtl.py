# SPDX-License-Identifier: Apache-2.0
"""MTL_SPP and MTL_SSW: what the modules do, by hand. The rows of the tables are counted by their configurations."""

import pytest
import torch
from torch.nn import functional

from mtperception.networks.mtl import MTL, SelectiveWeights, TaskSubnetwork, pool_to


def millions(network):
    return sum(parameter.numel() for parameter in network.parameters()) / 2**20


def test_count_of_a_single_task():
    with torch.device('meta'):
        network = MTL(40, ('segmentation',), subnetwork='none', head='aspp')
    assert millions(network) == pytest.approx(37.82, rel=0.001)


@pytest.mark.parametrize('size', [(13, 17), (6, 6), (5, 4), (1, 1)])
@pytest.mark.parametrize('cells', [1, 2, 3, 6])
def test_pooling_is_adaptive_average_pooling(size, cells):
    x = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(pool_to(x, cells), functional.adaptive_avg_pool2d(x, cells))


def test_selective_weights_begin_as_the_paper_has_them():
    mixer = SelectiveWeights(4, ('segmentation', 'depth'), own_weight=0.9).eval()
    for part in mixer.adapt.values():
        torch.nn.init.zeros_(part[-1].weight)  # without the bottleneck the mixture itself is left
    features = {'segmentation': torch.full((1, 4, 2, 2), 10.0), 'depth': torch.full((1, 4, 2, 2), 20.0)}
    mixed = mixer(features)
    torch.testing.assert_close(mixed['segmentation'], torch.full((1, 4, 2, 2), 11.0))  # 0.9 * 10 + 0.1 * 20
    torch.testing.assert_close(mixed['depth'], torch.full((1, 4, 2, 2), 19.0))


def test_each_task_learns_its_own_weights():
    mixer = SelectiveWeights(4, ('segmentation', 'depth'), own_weight=0.9)
    features = {task: torch.rand(2, 4, 3, 3) + 1 for task in mixer.tasks}
    mixer(features)['depth'].sum().backward()
    assert mixer.weights.grad[0].abs().sum() == 0  # of the labels' row
    assert (mixer.weights.grad[1].abs() > 0).all()


def test_a_task_carries_what_it_has():
    """A change in what a task has after the first stage is seen after the last one."""
    channels = (16, 32, 64, 128)
    subnetwork = TaskSubnetwork('se', channels).eval()
    features = [torch.rand(1, width, 4, 4) for width in channels]
    features[0] = torch.rand(1, 16, 8, 8)

    def after_the_last(first):
        carried = first
        for stage in range(1, 4):
            carried = subnetwork(stage, features, carried)
        return carried

    with torch.inference_mode():
        own = subnetwork(0, features, None)
        assert not torch.allclose(after_the_last(own), after_the_last(2 * own))


@pytest.mark.parametrize(
    'options',
    [
        {'subnetwork': 'attention'},
        {'head': 'fcn'},
        {'tasks': ('depth',), 'selective_weights': True},
        {'subnetwork': 'none', 'selective_weights': True},
    ],
)
def test_options_that_do_not_exist_or_fit(options):
    with pytest.raises(ValueError, match='expected'), torch.device('meta'):
        MTL(3, **options)

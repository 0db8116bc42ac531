# SPDX-License-Identifier: Apache-2.0
"""The contract that every network of NETWORKS keeps, for what it says that it can do. Training: test/training."""

from itertools import pairwise

import pytest
import torch
from thin_networks import thin

from mtperception.networks import NETWORKS, create_network, network_class
from mtperception.pipeline import Pipeline
from mtperception.tasks import TASKS, graph_outputs

CLASSES = 7


@pytest.fixture(autouse=True)
def same_weights():
    """Of other random weights, one draw in forty has a thin layer whose rectifiers are all off: no gradient for it."""
    torch.manual_seed(0)


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


@pytest.fixture
def tasks(name):
    """All that the network can give."""
    return network_class(name).task_sets()[-1]


def network_of(name, tasks):
    return create_network(name, CLASSES if 'segmentation' in tasks else 0, tasks, **thin(name))


def channels_of(network):
    return {output: (2, TASKS[task].raw_channels or CLASSES) for output, task in network.outputs.items()}


@pytest.mark.parametrize(('height', 'width'), [(64, 96), (65, 97), (33, 47), (1, 1)])
def test_any_input_size_gives_raw_outputs_by_name(name, tasks, height, width):
    network = network_of(name, tasks).eval()
    with torch.inference_mode():
        outputs = network(torch.randn(2, 3, height, width))
    assert set(tasks) <= set(outputs) <= set(network.outputs)
    expected = channels_of(network)
    assert {output: x.shape[:2] for output, x in outputs.items()} == {output: expected[output] for output in outputs}
    assert all(x.dtype == torch.float32 for x in outputs.values())
    assert all(1 <= x.shape[2] <= height and 1 <= x.shape[3] <= width for x in outputs.values())


def test_every_set_of_tasks_that_it_names(name):
    for tasks in network_class(name).task_sets():
        network = network_of(name, tuple(reversed(tasks))).eval()
        with torch.inference_mode():
            assert set(network(torch.randn(1, 3, 32, 32))) >= set(tasks)


def test_tasks_that_it_cannot_have_are_refused(name):
    able = network_class(name)
    for tasks in ((), ('optical flow',), able.TASKS[:1] * 2, *([able.TOGETHER[:1]] if able.TOGETHER else [])):
        with pytest.raises(ValueError, match=f'expected one or more of {", ".join(able.TASKS)}'):
            network_of(name, tasks)


def test_every_parameter_gets_a_gradient(name, tasks):
    network = network_of(name, tasks).train()
    outputs = network(torch.randn(2, 3, 64, 64))
    assert set(outputs) == set(network.outputs)
    sum(output.square().mean() for output in outputs.values()).backward()
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without


def test_every_parameter_is_in_one_group(name, tasks):
    network = network_of(name, tasks)
    groups = network.parameter_groups()
    assert set(groups) <= set(network.groups())
    found = sorted(id(x) for group in groups.values() for x in group)
    assert found == sorted(id(x) for x in network.parameters())


def test_fresh_depth_begins_inside_the_range(name):
    sets = [tasks for tasks in network_class(name).task_sets() if 'depth' in tasks]
    if not sets:
        pytest.skip('gives no depth')
    network = network_of(name, sets[-1]).train()
    network.prepare_for_depth_range(2.0, 18.0)
    outputs = network(torch.randn(2, 3, 64, 64))
    medians = [outputs[output].median().item() for output, task in network.outputs.items() if task == 'depth']
    assert all(3 < median < 12 for median in medians), f'{medians}: expected about sqrt(2 * 18) = 6 m'


def test_state_dict_round_trip(name, tasks):
    network, other = network_of(name, tasks).eval(), network_of(name, tasks).eval()
    image = torch.randn(1, 3, 40, 56)
    assert not torch.equal(network(image)[tasks[0]], other(image)[tasks[0]])
    other.load_state_dict(network.state_dict())
    assert all(torch.equal(network(image)[task], other(image)[task]) for task in tasks)


def test_images_of_a_batch_do_not_mix(name, tasks):
    pipeline = Pipeline(network_of(name, tasks), (0.1, 10.0)).eval()
    images = torch.randint(0, 256, (2, 50, 70, 3), dtype=torch.uint8)
    with torch.inference_mode():
        together, alone = pipeline(images), pipeline(images[1:])
    for output in (output.name for output in graph_outputs(tasks) if output.dtype == 'float32'):
        torch.testing.assert_close(together[output][1:], alone[output], rtol=1e-4, atol=1e-4)
    if 'labels' in alone:
        assert (together['labels'][1:] == alone['labels']).float().mean() > 0.99


def test_a_network_that_is_asked_for_what_does_not_exist():
    with pytest.raises(ValueError, match='expected one of joint_lw_refinenet'):
        create_network('resnet', CLASSES)
    with pytest.raises(ValueError, match='has no option width: expected channels or depthwise'):
        create_network('joint_lw_refinenet', CLASSES, width=3)
    with pytest.raises(ValueError, match="network hybridnet: width is 'thin': expected a number"):
        create_network('hybridnet', CLASSES, width='thin')


def test_options_change_the_network():
    sizes = [
        sum(x.numel() for x in create_network('joint_lw_refinenet', CLASSES, channels=channels).parameters())
        for channels in (64, 128, 256)
    ]
    assert all(smaller < larger for smaller, larger in pairwise(sizes))

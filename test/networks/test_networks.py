"""The contract that every network of NETWORKS keeps."""

import pytest
import torch

from mtperception.networks import NETWORKS, create_network
from mtperception.pipeline import Pipeline


@pytest.fixture(params=NETWORKS)
def name(request):
    return request.param


@pytest.mark.parametrize(('height', 'width'), [(64, 96), (65, 97), (33, 47), (1, 1)])
def test_any_input_size_gives_raw_outputs_by_task(name, height, width):
    network = create_network(name, 7, ('segmentation', 'depth', 'normals')).eval()
    with torch.inference_mode():
        outputs = network(torch.randn(2, 3, height, width))
    sizes = {output.shape[2:] for output in outputs.values()}
    assert {task: output.shape[:2] for task, output in outputs.items()} == {
        'segmentation': (2, 7),
        'depth': (2, 1),
        'normals': (2, 3),
    }
    assert len(sizes) == 1
    assert all(output.dtype == torch.float32 for output in outputs.values())


@pytest.mark.parametrize('tasks', [('segmentation',), ('depth',), ('depth', 'segmentation')])
def test_only_the_tasks_asked_for(name, tasks):
    network = create_network(name, 7, tasks).eval()
    assert set(network(torch.randn(1, 3, 32, 32))) == set(tasks)


def test_every_parameter_gets_a_gradient(name):
    network = create_network(name, 7).train()
    outputs = network(torch.randn(2, 3, 64, 64))
    sum(output.square().mean() for output in outputs.values()).backward()
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without


def test_state_dict_round_trip(name):
    network, other = create_network(name, 7).eval(), create_network(name, 7).eval()
    image = torch.randn(1, 3, 40, 56)
    assert not torch.equal(network(image)['depth'], other(image)['depth'])
    other.load_state_dict(network.state_dict())
    assert torch.equal(network(image)['depth'], other(image)['depth'])


def test_images_of_a_batch_do_not_mix(name):
    pipeline = Pipeline(create_network(name, 7), (0.1, 10.0)).eval()
    images = torch.randint(0, 256, (2, 50, 70, 3), dtype=torch.uint8)
    with torch.inference_mode():
        together, alone = pipeline(images), pipeline(images[1:])
    torch.testing.assert_close(together['depth'][1:], alone['depth'], rtol=1e-4, atol=1e-5)


def test_unknown_names_list_the_known():
    with pytest.raises(ValueError, match='expected one of joint_lw_refinenet'):
        create_network('resnet', 7)


def test_unknown_tasks_list_the_known(name):
    with pytest.raises(ValueError, match='segmentation'):
        create_network(name, 7, ('optical flow',))

# SPDX-License-Identifier: Apache-2.0
"""The joint Light-Weight RefineNet is the published one, to the parameter and to the bit pattern of its outputs."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mtperception.networks import create_network
from mtperception.networks.joint_lw_refinenet import read_published
from mtperception.networks.layers import CRPBlock
from mtperception.networks.mobilenet_v2 import MobileNetV2Encoder
from mtperception.pipeline import normalize

REFERENCE = Path(__file__).resolve().parents[3] / 'shared' / 'reference'
TWO_TASKS = ('segmentation', 'depth')


@pytest.mark.parametrize(
    ('num_classes', 'tasks', 'count'),
    [(40, TWO_TASKS, 3_070_057), (40, (*TWO_TASKS, 'normals'), 3_077_228), (6, TWO_TASKS, 2_991_687)],
)
def test_parameter_count(num_classes, tasks, count):
    network = create_network('joint_lw_refinenet', num_classes, tasks)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize('size', [(480, 640, 120, 160), (97, 131, 25, 33)])
def test_output_is_a_quarter_rounded_up(size):
    height, width, *expected = size
    network = create_network('joint_lw_refinenet', 6).eval()
    with torch.inference_mode():
        assert list(network(torch.zeros(1, 3, height, width))['depth'].shape[2:]) == expected


def test_chained_residual_pooling_by_hand():
    """One bright pixel: each pool widens it by two pixels, each convolution here halves it."""
    block = CRPBlock(1)
    for convolution in block.convolutions:
        torch.nn.init.constant_(convolution.weight, 0.5)
    image = torch.zeros(1, 1, 1, 19)
    image[..., 9] = 16.0
    # 16, plus 8 within 2 pixels, 4 within 4, 2 within 6 and 1 within 8.
    expected = [0, 1, 1, 3, 3, 7, 7, 15, 15, 31, 15, 15, 7, 7, 3, 3, 1, 1, 0]
    assert block(image)[0, 0, 0].tolist() == expected


def test_published_outputs():
    """The published implementation's outputs for a checkpoint in its layout.

    With random weights fp32 itself is only good for some 5e-4 of the largest output: fp64 says how much. On the machine
    whose kernels made the reference the outputs are equal to the bit.
    """
    if not REFERENCE.is_dir():
        pytest.skip('needs the reference outputs')
    layout = json.loads((REFERENCE / 'joint_nyud40_layout.json').read_text())
    published = read_published(_make_checkpoint_module().state_dict(layout))
    network = create_network('joint_lw_refinenet', published.num_classes, published.tasks)
    network.load_state_dict(published.state_dict)
    network.eval()
    with np.load(REFERENCE / 'joint_nyud40_expected.npz') as expected, torch.inference_mode():
        for size in ('even', 'odd', 'vga'):
            image = _normalized_exactly(expected[f'{size}_image'])
            single = {task: value.double() for task, value in network.float()(image.float()).items()}
            double = network.double()(image)
            for task in TWO_TASKS:
                reference = torch.from_numpy(expected[f'{size}_{task}']).double()
                rounding = _relative(single[task], double[task])
                assert _relative(single[task], reference) <= max(1e-4, 2 * rounding)
                assert rounding < 1e-3


def _relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found - expected).abs().max() / expected.abs().max())


def _normalized_exactly(image: np.ndarray) -> torch.Tensor:
    """In float64, as NumPy did for the published network."""
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return torch.from_numpy((image / 255 - mean) / std).permute(2, 0, 1)[None]


def _make_checkpoint_module():
    spec = importlib.util.spec_from_file_location('make_checkpoint', REFERENCE / 'make_checkpoint.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_normalization_by_hand():
    image = torch.tensor([[[[0, 128, 255]]]], dtype=torch.uint8)
    found = normalize(image).flatten().tolist()
    assert found == pytest.approx([-2.117904, 0.2051822, 2.64], abs=1e-5)


PUBLISHED_KEYS = {
    'layer1.0.weight': 'encoder.stem.0.weight',
    'layer2.0.output.0.1.running_mean': 'encoder.stages.0.0.expand.1.running_mean',
    'layer8.0.output.2.0.weight': 'encoder.stages.6.0.project.0.weight',
    'layer5.3.output.1.0.weight': 'encoder.stages.3.3.depthwise.0.weight',
    'conv3.weight': 'projections.0.weight',
    'conv8.weight': 'projections.5.weight',
    'crp4.0.1_outvar_dimred.weight': 'crp.0.convolutions.0.weight',
    'crp1.0.4_outvar_dimred.weight': 'crp.3.convolutions.3.weight',
    'conv_adapt4.weight': 'adapt.0.weight',
    'conv_adapt2.weight': 'adapt.2.weight',
    'pre_segm.weight': 'heads.segmentation.scale.weight',
    'segm.bias': 'heads.segmentation.predict.bias',
    'pre_depth.weight': 'heads.depth.scale.weight',
    'depth.weight': 'heads.depth.predict.weight',
}


def test_published_keys():
    weights = {key: torch.full((3, 1), float(i)) for i, key in enumerate(PUBLISHED_KEYS)}
    published = read_published(weights)
    for key, ours in PUBLISHED_KEYS.items():
        assert published.state_dict[ours] is weights[key], key


def test_published_normals_are_x_z_y():
    weight, bias = torch.arange(3.0)[:, None], torch.tensor([0.0, 1.0, 2.0])
    state = read_published({'normal.weight': weight, 'normal.bias': bias}).state_dict
    assert state['heads.normals.predict.weight'][:, 0].tolist() == [0, 2, 1]
    assert state['heads.normals.predict.bias'].tolist() == [0, 2, 1]


def test_tasks_and_classes_are_read_from_the_heads():
    published = read_published({'segm.weight': torch.zeros(46, 256, 3, 3), 'module.depth.weight': torch.zeros(1)})
    assert (published.tasks, published.num_classes) == (('segmentation', 'depth'), 46)


@pytest.mark.parametrize('key', ['backbone.conv1.weight', 'layer9.0.output.0.0.weight', 'conv3.bias'])
def test_foreign_checkpoints_are_refused(key):
    with pytest.raises(ValueError, match=key):
        read_published({key: torch.zeros(1), 'depth.weight': torch.zeros(1)})


def test_checkpoints_without_a_head_are_refused():
    with pytest.raises(ValueError, match='no head'):
        read_published({'conv3.weight': torch.zeros(1)})


def test_torchvision_weights_give_torchvision_features():
    """Our encoder with torchvision's weights computes torchvision's features: the extra convolution is the identity."""
    torchvision = pytest.importorskip('torchvision')
    theirs = torchvision.models.mobilenet_v2(weights=None).eval()
    generator = torch.Generator().manual_seed(0)
    for name, buffer in theirs.named_buffers():
        if name.endswith('running_mean'):
            buffer.normal_(std=0.1, generator=generator)
        elif name.endswith('running_var'):
            buffer.uniform_(0.5, 1.5, generator=generator)
    encoder = MobileNetV2Encoder().eval()
    encoder.load_torchvision(theirs.state_dict())
    image = torch.randn(1, 3, 65, 97, generator=generator)
    with torch.inference_mode():
        features, expected = encoder(image), image
        for index, layer in enumerate(theirs.features[:-1]):
            expected = layer(expected)
            stage = {1: 0, 3: 1, 6: 2, 10: 3, 13: 4, 16: 5, 17: 6}.get(index)
            if stage is not None:
                torch.testing.assert_close(features[stage], expected, rtol=1e-4, atol=1e-4)


def test_the_extra_convolution_changes_little_in_training_too():
    """There batch norm goes by the statistics of the batch, which are those that the stem's batch norm makes."""
    torchvision = pytest.importorskip('torchvision')
    theirs = torchvision.models.mobilenet_v2(weights=None).train()
    generator = torch.Generator().manual_seed(0)
    norm = theirs.features[0][1]
    with torch.no_grad():
        norm.bias.normal_(std=1.5, generator=generator)
        norm.weight.uniform_(0.2, 3.0, generator=generator)
    encoder = MobileNetV2Encoder().train()
    encoder.load_torchvision(theirs.state_dict())
    image = torch.randn(4, 3, 64, 96, generator=generator)
    with torch.inference_mode():
        expected = encoder.stem(image)
        found = encoder.stages[0][0].expand(expected)
    assert (found - expected).norm() < 0.03 * expected.norm()  # statistics of the batch itself: 0.7


def test_weights_of_another_network_are_refused():
    with pytest.raises(ValueError, match=r'features\.0\.0\.weight'):
        MobileNetV2Encoder().load_torchvision({'conv1.weight': torch.zeros(64, 3, 7, 7)})

# SPDX-License-Identifier: Apache-2.0
"""MultitaskNet is the authors' network: to the parameter, and to the outputs of their code."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mtperception import imagenet
from mtperception.networks.multitasknet import MultitaskNet, read_published

REFERENCE = Path(__file__).resolve().parents[3] / 'shared' / 'reference'


def test_parameter_count():
    assert sum(parameter.numel() for parameter in MultitaskNet(40).parameters()) == 116_677_289


def test_outputs_of_the_authors_code():
    """In float64: in float32 one rounding that moves a pooling index moves whole features."""
    if not (REFERENCE / 'multitasknet_nyud40_expected.npz').is_file():
        pytest.skip('needs the reference outputs')
    published = read_published(reference_checkpoint())
    assert (published.num_classes, published.tasks) == (40, ('segmentation', 'depth'))
    network = MultitaskNet(published.num_classes, published.tasks)
    network.load_state_dict(published.state_dict)
    network.double().eval()
    with np.load(REFERENCE / 'multitasknet_nyud40_expected.npz') as expected, torch.inference_mode():
        for size in ('square', 'wide'):
            outputs = network(normalized(expected[f'{size}_image']))
            assert relative(outputs['depth'], expected[f'{size}_depth']) <= 1e-6
            assert relative(outputs['segmentation'][..., ::7, ::7], expected[f'{size}_segmentation_every7']) <= 1e-6


def test_padding_is_cut_off():
    """What lies above and left of the padding, out of its reach, is as in the padded image."""
    network = MultitaskNet(3).double().eval()
    image = torch.randn(1, 3, 33, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    padded = torch.cat([image, image[:, :, -1:].expand(-1, -1, 31, -1)], dim=2)
    with torch.inference_mode():
        depth, expected = network(image)['depth'], network(padded)['depth']
    assert depth.shape == (1, 1, 33, 64)
    assert torch.equal(depth, expected[:, :, :33])


def test_without_skips_it_is_lighter_and_runs():
    network = MultitaskNet(3, skip=False).eval()
    assert sum(parameter.numel() for parameter in network.parameters()) < 116_000_000
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 32, 32))['segmentation'].shape == (1, 3, 32, 32)


@pytest.mark.parametrize('key', ['CBR6_RGB.0.weight', 'layer1.0.weight'])
def test_a_foreign_key_is_named(key):
    with pytest.raises(ValueError, match=f'unexpected key {key!r}'):
        read_published({key: torch.zeros(1)})


def reference_checkpoint():
    specification = importlib.util.spec_from_file_location('make_checkpoint', REFERENCE / 'make_checkpoint.py')
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module.state_dict(json.loads((REFERENCE / 'multitasknet_nyud40_layout.json').read_text(encoding='utf-8')))


def normalized(image):
    mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in (imagenet.MEAN, imagenet.STD))
    return (torch.from_numpy(image).permute(2, 0, 1)[None].double() / 255 - mean) / std


def relative(found, expected):
    return float((found - torch.from_numpy(expected)).abs().max() / np.abs(expected).max())

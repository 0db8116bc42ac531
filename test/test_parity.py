# SPDX-License-Identifier: Apache-2.0
"""The proof that a graph computes what the network computes: sound graphs pass, broken ones of each kind do not."""

import re
from copy import deepcopy
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from mtperception.backends.onnxruntime_backend import OnnxRuntimeBackend
from mtperception.card import GRAPH, ModelCard, ModelDirectory, TrainingCamera, sha256
from mtperception.export import export_model, run_pytorch
from mtperception.networks import create_network
from mtperception.parity import LARGEST_FACTOR, MEAN_FACTOR, Parity, ParityError
from mtperception.pipeline import Pipeline
from mtperception.synthetic import SyntheticRoom

CARD = ModelCard(
    name='random',
    network='joint_lw_refinenet',
    num_classes=6,
    tasks=('depth', 'normals', 'segmentation'),
    label_space='kitti_6',
    classes=(0, 6),
    depth_range=(0.3, 10.0),
    camera=TrainingCamera(100.0, 128, 96),
)


@pytest.fixture(scope='module')
def network():
    """Weights as large as those of a network in use, at random: its rounding reaches millimetres."""
    torch.manual_seed(0)
    network = create_network(CARD.network, CARD.num_classes, CARD.tasks).eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith('running_mean'):
                value.normal_(0, 0.2)
            elif name.endswith('running_var'):
                value.uniform_(0.5, 1.5)
            elif value.ndim == 4:
                value.normal_(0, (2 / value[0].numel()) ** 0.5)
            elif name.endswith('weight'):
                value.uniform_(0.7, 1.2)
            elif value.is_floating_point():
                value.uniform_(-0.5, 0.5)
    return network


@pytest.fixture(scope='module')
def exported(network, tmp_path_factory):
    """The model directory of tasks in another order than the graph's outputs, and its parity."""
    out = tmp_path_factory.mktemp('exported') / 'random'
    return out, export_model(network, CARD, out)


@pytest.fixture(scope='module')
def expected(network):
    """An image, and what PyTorch gives for it in single and in double precision."""
    image = np.stack([SyntheticRoom(97, 131, 80.0).frame(1.0).image])
    networks = (network, deepcopy(network).double())
    pipelines = (Pipeline(network, CARD.depth_range, CARD.classes).eval() for network in networks)
    return image, *(run_pytorch(pipeline, image) for pipeline in pipelines)


def check(expected, graph):
    image, single, double = expected
    directory = ModelDirectory(graph.parent, replace(CARD, sha256={GRAPH: sha256(graph)}))
    Parity().add(OnnxRuntimeBackend(directory, 'cpu', 'fp32').run(image), single, double).check()


def test_a_sound_graph_is_as_close_as_rounding_is(exported):
    _, parity = exported
    for name, graph in parity.graph.items():
        assert graph.mean <= MEAN_FACTOR / 2 * max(parity.rounding[name].mean, 1e-7), name
    assert parity.rounding['depth'].largest > 2e-4, 'this network does not round: it proves nothing'


def test_outputs_have_their_names_whatever_the_order_of_the_tasks(exported):
    out, _ = exported
    assert [output.name for output in onnx.load(out / GRAPH).graph.output] == [
        'labels',
        'confidence',
        'depth',
        'normals',
    ]


def test_both_numbers_are_said(exported):
    said = str(exported[1])
    assert re.match(
        r'labels equal on \d+\.\d+% \(\d+\.\d+%\), confidence within .*, depth within \S+ m \(\S+ m\)', said
    )


def damaged(exported, tmp_path, change):
    """A copy of the graph after a change of its weights, by name."""
    model = onnx.load(exported[0] / GRAPH)
    weights = [item for item in model.graph.initializer if len(item.dims) == 4 and item.data_type == 1]
    change(weights)
    onnx.save(model, tmp_path / GRAPH)
    return tmp_path / GRAPH


def edit(item, change):
    value = numpy_helper.to_array(item).copy()
    change(value)
    item.CopyFrom(numpy_helper.from_array(value, item.name))


@pytest.mark.parametrize('layer', [1, 12, 30, -12])
def test_one_filter_that_is_zero_is_seen(layer, expected, exported, tmp_path):
    graph = damaged(exported, tmp_path, lambda weights: edit(weights[layer], lambda value: value[0].fill(0)))
    with pytest.raises(ParityError, match='more than rounding explains'):
        check(expected, graph)


def test_the_graph_itself_passes(expected, exported):
    check(expected, exported[0] / GRAPH)


def test_the_message_has_both_numbers(expected, exported, tmp_path):
    graph = damaged(exported, tmp_path, lambda weights: edit(weights[1], lambda value: value[0].fill(0)))
    with pytest.raises(ParityError, match=rf'mean \S+.* float32 has mean \S+.*\({LARGEST_FACTOR:g} x\)'):
        check(expected, graph)


def test_channels_in_another_order_are_seen(expected, exported, tmp_path):
    def swap(value):
        value[:, [0, 2]] = value[:, [2, 0]]

    stem = damaged(exported, tmp_path, lambda weights: edit(next(w for w in weights if w.dims[1] == 3), swap))
    with pytest.raises(ParityError):
        check(expected, stem)


def test_not_a_number_is_seen(expected, exported, tmp_path):
    graph = damaged(exported, tmp_path, lambda weights: edit(weights[-1], lambda value: value.fill(np.nan)))
    with pytest.raises(ParityError):
        check(expected, graph)


def test_a_network_that_is_not_finite_itself_is_not_exported(tmp_path):
    network = create_network(CARD.network, CARD.num_classes, CARD.tasks).eval()
    torch.nn.init.constant_(network.heads['depth'].predict.bias, torch.nan)
    with pytest.raises(ParityError, match=r'depth: 100\.00% of the values are not finite'):
        export_model(network, CARD, tmp_path / 'broken')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('who', ['found', 'single', 'double'])
def test_one_pixel_that_is_not_finite_is_enough(who):
    maps = {name: {'depth': np.ones((1, 50, 50), np.float32)} for name in ('found', 'single', 'double')}
    Parity().add(**maps).check()
    maps[who]['depth'][0, 3, 4] = np.nan
    with pytest.raises(ParityError, match='not finite'):
        Parity().add(**maps)


def test_a_map_that_is_missing_or_of_another_shape_is_named():
    maps = {'depth': np.ones((1, 5, 5), np.float32)}
    with pytest.raises(ParityError, match='depth: found nothing'):
        Parity().add({}, maps, maps)
    with pytest.raises(ParityError, match=r'depth: found float32 \(1, 5, 4\)'):
        Parity().add({'depth': maps['depth'][:, :, 1:]}, maps, maps)

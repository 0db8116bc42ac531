# SPDX-License-Identifier: Apache-2.0
"""Each system from training to the node, small: trained and exported by the commands, run by two backends, and answered
over DDS by one node that is given one model after the other."""

import json

import numpy as np
import pytest
from live import active_node, pixels
from rooms import rooms, write_rooms
from tiny_systems import SYSTEMS, make_system

from mtperception import cli
from mtperception.card import open_model
from mtperception.networks import load_network
from mtperception.predictor import Predictor
from mtperception.training.checkpoint import Checkpoint


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp('systems')


@pytest.fixture(scope='module')
def models(folder):
    """The model directory of each system, made once."""
    data = write_rooms(folder / 'data', rooms(4))
    return {name: make_system(name, data, folder) for name in SYSTEMS}


@pytest.fixture(scope='module')
def frame():
    return rooms(6)[5]


@pytest.fixture(scope='module')
def node(tmp_path_factory):
    with active_node(tmp_path_factory.mktemp('node')) as (process, peer):
        peer.subscribe('semantic/image', 'depth/image', 'depth/camera_info')
        yield process, peer


@pytest.mark.parametrize('name', SYSTEMS)
def test_the_model_is_what_was_trained(name, models, folder):
    weights = Checkpoint.read(folder / 'runs' / name / 'last.safetensors').group('average')
    exported = load_network(models[name]).state_dict()
    assert all(np.array_equal(value, exported[key]) for key, value in weights.items())
    card = open_model(models[name]).card
    assert (card.network, card.tasks, card.label_space) == (name, ('segmentation', 'depth'), 'nyuv2_40')
    assert card.training['procedure'].startswith('2 of 2 epochs')


@pytest.mark.parametrize('name', SYSTEMS)
def test_two_backends_pass_its_self_test_and_give_the_same_maps(name, models, frame):
    """A predictor is only made of a model whose self-test its backend passes."""
    first, second = (
        Predictor(models[name], backend, 'cpu', 'fp32')(frame.image, frame.intrinsics)
        for backend in ('onnxruntime', 'openvino')
    )
    assert first.labels.shape == first.depth.shape == frame.depth.shape
    assert (first.labels == second.labels).mean() >= 0.999
    np.testing.assert_allclose(first.depth, second.depth, rtol=1e-3)
    assert first.depth.std() > 1e-4  # a constant would equal itself, too


@pytest.mark.parametrize('name', SYSTEMS)
def test_the_node_answers_over_dds(name, models, frame, node):
    """What the predictor says, in the input policy of the model."""
    process, peer = node
    for transition in ('deactivate', 'cleanup'):
        assert peer.transition(transition)
    assert peer.set(model=str(models[name])) == ''
    for transition in ('configure', 'activate'):
        assert peer.transition(transition), process.log
    topics = ('semantic/image', 'depth/image', 'depth/camera_info')  # the last: camera_info, best effort, was not lost
    labels, depth, _ = peer.ask(frame.image, *topics, intrinsics=frame.intrinsics)
    expected = Predictor(models[name], 'onnxruntime', 'cpu')(frame.image, frame.intrinsics)
    np.testing.assert_array_equal(pixels(labels), expected.labels + 1)
    np.testing.assert_array_equal(np.nan_to_num(pixels(depth, np.float32)), expected.measured_depth)


def test_they_are_compared_in_one_table(models, folder, tmp_path, capsys):
    """Two systems, one of which sees tiles: their scores are those of `evaluate`, their costs those of a frame."""
    chosen = [str(models[name]) for name in ('joint_lw_refinenet', 'hybridnet')]
    data = ('--dataset', 'folder', '--root', str(folder / 'data'), '--split', 'test')
    written = tmp_path / 'made' / 'table.json', tmp_path / 'table.md'
    options = ('--seconds', '0', '--size', '128x96', '--json', str(written[0]), '--markdown', str(written[1]))
    assert cli.main(['compare', *chosen, *data, *options]) == 0
    content = json.loads(written[0].read_text(encoding='utf-8'))
    joint, hybrid = content['models']
    assert (joint['network'], joint['ratio'], joint['input']) == ('joint_lw_refinenet', 1, 'keep_aspect 96x72')
    assert hybrid['ratio'] == pytest.approx(hybrid['frame_ms'] / joint['frame_ms'])
    assert hybrid['input'] == 'tiles 64x48'
    weights = load_network(models['hybridnet'])
    assert hybrid['parameters'] == sum(x.numel() for x in weights.parameters())
    assert all(row['forward_ms'] > 0 and row['gflops'] > 0 for row in (joint, hybrid))
    evaluate = ('evaluate', '--model', chosen[1], *data, '--backend', 'openvino', '--device', 'cpu')
    assert cli.main([*evaluate, '--json', str(tmp_path / 'one.json')]) == 0
    metrics = json.loads((tmp_path / 'one.json').read_text(encoding='utf-8'))['metrics']
    assert hybrid['rmse'] == pytest.approx(metrics['rmse'])
    assert hybrid['miou'] == pytest.approx(metrics['miou'])
    table = written[1].read_text(encoding='utf-8').splitlines()
    assert table[0].startswith('| model | network | input | parameters |')
    assert f'| {100 * hybrid["miou"]:.2f} |' in table[3]
    assert 'Scores: dataset folder, split test, images 4' in table[-1]

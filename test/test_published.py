# SPDX-License-Identifier: Apache-2.0
"""Importing published checkpoints: from the file to a model that predicts."""

import json
import os
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import numpy as np
import pytest
import torch
from published_layout import in_published_layout

from mtperception.card import open_model
from mtperception.cli import main
from mtperception.errors import CheckpointError
from mtperception.networks import create_network, load_network
from mtperception.pipeline import Pipeline
from mtperception.predictor import Predictor
from mtperception.published import import_checkpoint

DECODERS = {'segmentation': 'Dec', 'depth': 'Depth_Dec'}


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(1)
    network = create_network('joint_lw_refinenet', 46).eval()
    torch.nn.init.normal_(network.heads['segmentation'].predict.bias, std=0.05)
    return network


@pytest.fixture(scope='module')
def checkpoint(network, tmp_path_factory):
    path = tmp_path_factory.mktemp('published') / 'joint46.ckpt'
    torch.save({'state_dict': in_published_layout(network, ('segm', 'depth'))}, path)
    return path


def command(checkpoint, out, classes):
    """`mtperception import`: exit status, standard output, standard error."""
    options = ['--network', 'joint_lw_refinenet', '--label-space', 'nyuv2_kitti_46', '--out', str(out)]
    with redirect_stdout(StringIO()) as stdout, redirect_stderr(StringIO()) as stderr:
        status = main(['import', str(checkpoint), *options, '--classes', classes])
    return status, stdout.getvalue(), stderr.getvalue()


@pytest.fixture(scope='module')
def imported(checkpoint, tmp_path_factory):
    """The model directory that the command wrote, and what it said."""
    out = tmp_path_factory.mktemp('imported') / 'streets'
    return out, command(checkpoint, out, '40:46')


def test_import_keeps_the_network_and_slices_its_classes(network, imported):
    out, _ = imported
    card = open_model(out).card
    assert (card.num_classes, card.tasks, card.classes) == (46, ('segmentation', 'depth'), (40, 46))
    # The depth of these classes was learnt with KITTI's camera, not with that of the rooms.
    assert (card.camera.fx, card.camera.width, card.depth_range) == (721.54, 1242, (1.0, 80.0))
    image = np.random.default_rng(0).integers(0, 256, (97, 131, 3), np.uint8)
    prediction = Predictor(out, 'onnxruntime', 'cpu')(image)
    with torch.inference_mode():
        expected = Pipeline(network, card.depth_range, (40, 46))(torch.tensor(image[None]))
    assert prediction.labels.min() >= 40
    assert (prediction.labels == expected['labels'][0].numpy()).mean() >= 0.999
    assert prediction.depth == pytest.approx(expected['depth'][0].numpy(), abs=1e-3)


def test_three_tasks_of_random_weights_import_though_their_rounding_is_large(tmp_path):
    """Rounding of float32 reaches millimetres with such weights: no fault of the graph."""
    torch.manual_seed(2)
    network = create_network('joint_lw_refinenet', 40, ('segmentation', 'depth', 'normals')).eval()
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.ndim == 4:
                value.normal_(0, (2 / value[0].numel()) ** 0.5)
            elif name.endswith(('running_mean', 'bias')):
                value.normal_(0, 0.2)
            elif name.endswith(('running_var', 'weight')):
                value.uniform_(0.6, 1.4)
    path = tmp_path / 'joint3.ckpt'
    torch.save({'state_dict': in_published_layout(network, ('segm', 'depth', 'normal'))}, path)
    parity = import_checkpoint(path, 'joint_lw_refinenet', 'nyuv2_40', tmp_path / 'three')
    assert parity.rounding['depth'].largest > 3e-4
    assert open_model(tmp_path / 'three').card.tasks == ('segmentation', 'depth', 'normals')
    head, ours = load_network(tmp_path / 'three').heads['normals'].predict, network.heads['normals'].predict
    assert torch.equal(head.weight, ours.weight)
    assert torch.equal(head.bias, ours.bias)


def test_the_command_says_how_well_the_graph_agrees_and_nothing_else(imported):
    out, (status, stdout, stderr) = imported
    assert (status, stderr) == (0, '')
    assert stdout.startswith(f'{out}: labels equal on')


def test_a_slice_is_two_numbers(checkpoint, tmp_path):
    assert command(checkpoint, tmp_path / 'streets', 'rooms')[0] == 2


def test_class_count_is_checked_against_the_label_space(checkpoint, tmp_path):
    with pytest.raises(CheckpointError, match='46 classes, but nyuv2_40 has 40'):
        import_checkpoint(checkpoint, 'joint_lw_refinenet', 'nyuv2_40', tmp_path / 'model')
    assert not (tmp_path / 'model').exists()


class Harmful:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize('content', ['nothing', 'text', 'list', 'other', 'short'])
def test_files_that_are_no_checkpoint(tmp_path, content):
    path = tmp_path / 'file.ckpt'
    if content == 'text':
        path.write_text(json.dumps({'state_dict': {}}))
    elif content == 'list':
        torch.save([1, 2], path)
    elif content == 'other':
        torch.save({'state_dict': {'fc.weight': torch.zeros(2)}}, path)
    elif content == 'short':
        torch.save({'state_dict': {'segm.weight': torch.zeros(40, 256, 3, 3)}}, path)
    with pytest.raises(CheckpointError, match=r'file\.ckpt'):
        import_checkpoint(path, 'joint_lw_refinenet', 'nyuv2_40', tmp_path / 'model')


def test_nothing_but_tensors_is_loaded(tmp_path):
    path = tmp_path / 'harmful.ckpt'
    torch.save({'state_dict': Harmful(tmp_path / 'harm')}, path)
    with pytest.raises(CheckpointError, match='not a published checkpoint') as raised:
        import_checkpoint(path, 'joint_lw_refinenet', 'nyuv2_40', tmp_path / 'model')
    assert not (tmp_path / 'harm').exists()
    assert 'weights_only' not in str(raised.value), "PyTorch's advice is to run it"


def test_unknown_words_list_the_known(checkpoint, tmp_path):
    with pytest.raises(ValueError, match='expected one of joint_lw_refinenet'):
        import_checkpoint(checkpoint, 'refinenet', 'nyuv2_40', tmp_path / 'model')
    with pytest.raises(ValueError, match='expected one of nyuv2_40'):
        import_checkpoint(checkpoint, 'joint_lw_refinenet', 'ade20k', tmp_path / 'model')


def test_a_checkpoint_of_multitasknet_is_read_and_its_images_are_stretched(tmp_path):
    """In the layout of the authors, at an eighth of the width."""
    thin = {'width': 0.125}
    network = create_network('multitasknet', 40, **thin)
    path = tmp_path / 'multitasknet.ckpt'
    torch.save({'state_dict': in_authors_layout(network.state_dict())}, path)
    import_checkpoint(path, 'multitasknet', 'nyuv2_40', tmp_path / 'model', options=thin)
    card = open_model(tmp_path / 'model').card
    assert (card.network, card.tasks, card.num_classes) == ('multitasknet', ('segmentation', 'depth'), 40)
    assert (card.input.policy, card.input.width, card.input.height) == ('stretch', 224, 224)
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    assert Predictor(tmp_path / 'model', 'onnxruntime')(image).depth.shape == (60, 80)
    loaded = load_network(tmp_path / 'model').state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in network.state_dict().items())


def in_authors_layout(state):
    """MultitaskNet's tensors by the names that its authors' code gives them, written down from models/model.py."""
    named = {}
    for name, value in state.items():
        part, _, rest = name.partition('.')
        if part == 'encoder':
            _, stage, layer, field = rest.split('.')
            named[f'CBR{int(stage) + 1}_RGB.{layer}.{field}'] = value
            continue
        task, kind, *rest = rest.split('.')
        stage, layer, field = ('4', '3', rest[0]) if kind == 'predict' else rest
        named[f'CBR{5 - int(stage)}_{DECODERS[task]}.{layer}.{field}'] = value
    return named

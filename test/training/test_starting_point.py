# SPDX-License-Identifier: Apache-2.0
"""What a run begins with, and what is said where that is not to be had."""

import shutil
import urllib.request
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from tiny_runs import tiny_config

from mtperception.card import CARD, WEIGHTS, ModelCard, sha256
from mtperception.networks import load_network
from mtperception.networks.half_weights import round_weights
from mtperception.resources import find
from mtperception.training.checkpoint import Checkpoint
from mtperception.training.config import CameraConfig, ConfigError
from mtperception.training.config_file import config_to_dict, load_config
from mtperception.training.starting_point import build_network, mean_weights


def test_without_a_network_it_says_which_file_to_give(tmp_path, monkeypatch):
    for name in ('http_proxy', 'https_proxy', 'HTTP_PROXY', 'HTTPS_PROXY'):
        monkeypatch.setenv(name, 'http://127.0.0.1:9')  # nobody listens there
    monkeypatch.delenv('no_proxy', raising=False)
    monkeypatch.delenv('NO_PROXY', raising=False)
    monkeypatch.setattr(urllib.request, '_opener', None)  # it would keep this proxy for all tests that follow
    monkeypatch.setenv('TORCH_HOME', str(tmp_path))
    with pytest.raises(ConfigError) as error:
        build_network(tiny_config(tmp_path, encoder='imagenet'))
    assert "torchvision's MobileNet_V2_Weights." in str(error.value)
    assert 'cannot be downloaded' in str(error.value)
    assert 'check the network, or give a .safetensors file in its layout instead of imagenet' in str(error.value)
    assert 'urlopen' not in str(error.value)


def test_a_model_of_half_the_size_starts_no_training_of_batch_norm(tmp_path):
    """Its batch norms equal those of the trained network in evaluation only."""
    half = tmp_path / 'half'
    shutil.copytree(find('model', 'nyuv2_indoor'), half)
    save_file(round_weights(load_network('nyuv2_indoor')).state_dict(), half / WEIGHTS)
    card = ModelCard.read(half / CARD)
    replace(card, sha256=card.sha256 | {WEIGHTS: sha256(half / WEIGHTS)}).write(half / CARD)
    for start in ({'all': [str(half)]}, {'encoder': [str(half)]}):
        with pytest.raises(ConfigError, match=r'start\.\w+: .*half was exported with --half, .*its checkpoint'):
            build_network(tiny_config(tmp_path, start=start))
    image = torch.rand(1, 3, 64, 64)
    network = build_network(tiny_config(tmp_path, start={'all': [str(half)]}, batch_norm='frozen')).eval()
    with torch.inference_mode():
        expected = load_network('nyuv2_indoor')(image)['depth']
        torch.testing.assert_close(network(image)['depth'], expected, atol=0.02, rtol=0)
    with pytest.raises(ConfigError, match='of one model, batch_norm: frozen'):
        build_network(tiny_config(tmp_path, start={'all': [str(half), 'nyuv2_indoor']}, batch_norm='frozen'))
    build_network(tiny_config(tmp_path, start={'all': ['nyuv2_indoor']}))
    with pytest.raises(ConfigError, match=r'mean of .*half: exported with --half'):
        mean_weights(network, ['nyuv2_indoor', str(half)])


@pytest.fixture(scope='module')
def imagenet(tmp_path_factory):
    """A file in the layout of torchvision's weights."""
    from torchvision.models import mobilenet_v2

    torch.manual_seed(4)
    path = tmp_path_factory.mktemp('imagenet') / 'encoder.safetensors'
    save_file(mobilenet_v2().state_dict(), path)
    return path


def test_an_encoder_from_a_file(imagenet, tmp_path):
    from safetensors.torch import load_file

    network = build_network(tiny_config(tmp_path, encoder=str(imagenet), depth_range=[0.5, 8.0]))
    assert torch.equal(network.encoder.stem[0].weight, load_file(imagenet)['features.0.0.weight'])
    # Depth begins in the middle: sqrt(0.5 * 8) = 2 m.
    assert network.heads['depth'].predict.bias.item() == 2


@pytest.mark.parametrize(
    ('write', 'message'),
    [
        (lambda path: None, r'x\.safetensors: expected a readable \.safetensors file'),
        (lambda path: path.write_bytes(b'weights'), r'x\.safetensors: expected a readable \.safetensors file'),
        (lambda path: save_file({'a': torch.zeros(1)}, path), r'^encoder: .*x\.safetensors: '),
    ],
)
def test_a_file_that_is_no_encoder(write, message, tmp_path):
    write(tmp_path / 'x.safetensors')
    with pytest.raises(ConfigError, match=message):
        build_network(tiny_config(tmp_path, encoder=str(tmp_path / 'x.safetensors')))


def write_checkpoint(path, config, average):
    weights = {f'average/{name}': x for name, x in average.items()}
    Checkpoint(weights, {'config': config_to_dict(config)}).write(path)


@pytest.fixture(scope='module')
def earlier(tmp_path_factory):
    """A checkpoint of a network for nyuv2_40: its average is not its network."""
    path = tmp_path_factory.mktemp('earlier') / 'best.safetensors'
    torch.manual_seed(7)
    average = build_network(tiny_config(path)).state_dict()
    write_checkpoint(path, tiny_config(path), average)
    return path, average


def test_a_checkpoint_gives_its_average(earlier, tmp_path):
    path, average = earlier
    network = build_network(
        tiny_config(tmp_path, start={'all': [str(path)]}, encoder='imagenet')  # which is not needed then
    )
    assert all(torch.equal(x, average[name]) for name, x in network.state_dict().items())


def test_heads_for_other_classes_begin_anew(earlier, tmp_path, caplog):
    path, average = earlier
    caplog.set_level('INFO', 'mtperception')
    tasks = ('segmentation', 'depth', 'normals')
    network = build_network(
        tiny_config(tmp_path, tasks, start={'all': [str(path)]}, label_space='nyuv2_13')
    ).state_dict()
    other = {name for name, x in network.items() if name not in average or not torch.equal(x, average[name])}
    assert {name.split('.')[1] for name in other} == {'segmentation', 'normals'}
    assert 'the heads for normals, segmentation start from random weights' in caplog.text


def test_a_fresh_depth_head_begins_in_the_middle_of_the_range(tmp_path):
    earlier = tmp_path / 'labels.safetensors'
    config = tiny_config(tmp_path, ('segmentation',))
    average = build_network(config).state_dict()
    write_checkpoint(earlier, config, average)
    network = build_network(tiny_config(tmp_path, start={'all': [str(earlier)]}, depth_range=[0.5, 8.0]))
    assert network.heads['depth'].predict.bias.item() == 2  # sqrt(0.5 * 8)
    assert torch.equal(network.heads['segmentation'].predict.bias, average['heads.segmentation.predict.bias'])


def test_several_checkpoints_give_their_mean(earlier, tmp_path):
    path, average = earlier
    other = tmp_path / 'other.safetensors'
    # (x + 3x) / 2 = 2x
    write_checkpoint(other, tiny_config(other), {name: 3 * x for name, x in average.items()})
    network = build_network(tiny_config(tmp_path, start={'all': [str(path), str(other)]})).state_dict()
    floating = {name for name, x in average.items() if x.is_floating_point()}
    assert floating
    assert all(torch.allclose(network[name], 2 * average[name]) for name in floating)


@pytest.mark.parametrize('start', ['all', 'depth'])
def test_the_mean_of_two_that_mean_another_depth_is_refused(start, tmp_path):
    for name, width in (('near', 320), ('far', 160)):
        config = tiny_config(tmp_path, camera=CameraConfig(200.0, width, 120))
        write_checkpoint(tmp_path / name, config, build_network(config).state_dict())
    files = [str(tmp_path / name) for name in ('near', 'far')]
    with pytest.raises(ConfigError, match=r'its focal length by width: found 1\.25, expected 0\.625'):
        build_network(tiny_config(tmp_path, start={start: files}))


def test_a_run_without_depth_takes_the_mean_whatever_their_depth_means(tmp_path):
    for name, far in (('near', 10.0), ('far', 80.0)):
        config = tiny_config(tmp_path, depth_range=[0.3, far])
        write_checkpoint(tmp_path / name, config, build_network(config).state_dict())
    files = [str(tmp_path / name) for name in ('near', 'far')]
    build_network(tiny_config(tmp_path, ('segmentation',), start={'all': files}))


def test_a_checkpoint_whose_configuration_is_of_another_version(earlier, tmp_path):
    _, average = earlier
    other = tmp_path / 'other.safetensors'
    Checkpoint({f'average/{name}': x for name, x in average.items()}, {'config': {'gone': 1}}).write(other)
    with pytest.raises(ConfigError, match=r'other\.safetensors: what its outputs mean is not known: .*gone'):
        build_network(tiny_config(tmp_path, start={'all': [str(other)]}))


def test_what_another_depth_means_is_told(earlier, tmp_path, caplog):
    path, _ = earlier
    build_network(tiny_config(tmp_path, start={'all': [str(path)]}))
    assert not caplog.text
    build_network(tiny_config(tmp_path, start={'all': [str(path)]}, depth_range=[1.0, 80.0]))
    assert 'its range of depth is (0.3, 10.0), that of this run (1.0, 80.0)' in caplog.text


def test_a_head_for_as_many_other_classes_begins_anew(tmp_path, caplog):
    caplog.set_level('INFO', 'mtperception')
    config = tiny_config(tmp_path)
    average = build_network(config).state_dict()
    write_checkpoint(tmp_path / 'other', replace(config, label_space='nyuv2_13'), average)
    build_network(tiny_config(tmp_path, start={'all': [str(tmp_path / 'other')]}))
    assert 'the heads for segmentation start from random weights' in caplog.text
    with pytest.raises(ConfigError, match='its classes: found nyuv2_13, expected nyuv2_40'):
        build_network(tiny_config(tmp_path, start={'segmentation': [str(tmp_path / 'other')]}))


def test_what_cannot_be_started_from(imagenet, tmp_path):
    foreign = tmp_path / 'foreign.safetensors'
    Checkpoint({'average/a': torch.zeros(1)}, {}).write(foreign)
    for start, message in (
        (tmp_path / 'missing', 'expected a checkpoint, a model directory or the name of a model'),
        (tmp_path, 'expected a checkpoint, a model directory or the name of a model'),
        (imagenet, 'not a checkpoint'),
        (foreign, 'not the weights of this network: encoder'),
    ):
        with pytest.raises(ValueError, match=message):
            build_network(tiny_config(tmp_path, start={'all': [str(start)]}))


def test_a_model_by_its_name(tmp_path):
    """The whole of it, or a part, as the configuration of the confidence of depth does."""
    weights = load_network('nyuv2_indoor').state_dict()
    for config in (
        tiny_config(tmp_path, start={'all': ['nyuv2_indoor']}),
        tiny_config(tmp_path, start={'depth': ['nyuv2_indoor']}),
        load_config('nyuv2_indoor_confidence'),
    ):
        network = build_network(config)
        taken = [name for name in network.state_dict() if network.group_of(name) == 'depth']
        assert taken
        assert all(torch.equal(network.state_dict()[name], weights[name]) for name in taken)


def test_a_part_whose_file_is_missing(tmp_path):
    missing = tmp_path / 'missing.safetensors'
    with pytest.raises(ConfigError, match=rf'start.depth: {missing} does not exist: expected a checkpoint, a model'):
        build_network(tiny_config(tmp_path, start={'depth': [str(missing)]}))

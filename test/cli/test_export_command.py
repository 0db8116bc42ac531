# SPDX-License-Identifier: Apache-2.0
"""`mtperception export`: a checkpoint becomes a model that the predictor opens."""

import copy

import numpy as np
import pytest
import torch
from rooms import rooms, write_rooms
from safetensors.torch import load_file, save_file
from shallow_network import ShallowNet
from tiny_runs import data_of, tiny_config

from mtperception import cli
from mtperception.card import open_model
from mtperception.data import open_dataset
from mtperception.evaluation.evaluate import evaluate
from mtperception.networks import NETWORKS
from mtperception.pipeline import Pipeline
from mtperception.predictor import Predictor
from mtperception.training.checkpoint import Checkpoint, named
from mtperception.training.config import ChoiceConfig, OptimizerConfig
from mtperception.training.trainer import BEST, Trainer


def export(*arguments):
    return cli.main(['export', *map(str, arguments)])


@pytest.fixture(scope='module', autouse=True)
def shallow():
    """A network that is quickly exported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(NETWORKS, 'shallow', ShallowNet)
        yield ChoiceConfig('shallow', {'width': 24})


@pytest.fixture(scope='module')
def trainer(shallow, tmp_path_factory):
    """A short run whose average is far from its last weights."""
    folder = tmp_path_factory.mktemp('run')
    data = write_rooms(folder / 'data', rooms(4))
    config = tiny_config(
        data,
        network=shallow,
        validation=[data_of(data)],
        optimizer=OptimizerConfig(learning_rate={'trunk': 1e-2, 'default': 1e-2}),
        description='a room',
        licence='none',
    )
    trainer = Trainer(config, folder / 'run', torch.device('cpu'))
    trainer.fit()
    return trainer


@pytest.fixture(scope='module')
def model(trainer, tmp_path_factory):
    """Exported with the first ten classes to choose among."""
    out = tmp_path_factory.mktemp('models') / 'room'
    assert export(trainer.out / BEST, '--out', out, '--classes', '0:10') == 0
    return out


def test_the_model_gives_what_the_average_gives(model, trainer):
    image = rooms(1)[0].image
    prediction = Predictor(model, 'onnxruntime', 'cpu')(image)
    pipeline = Pipeline(copy.deepcopy(trainer.average.module), (0.3, 10.0), (0, 10)).eval()
    with torch.inference_mode():
        expected = pipeline(torch.from_numpy(image)[None])
    assert (prediction.labels == expected['labels'][0].numpy()).mean() >= 0.999
    assert prediction.depth == pytest.approx(expected['depth'][0].numpy(), abs=1e-3)
    assert prediction.labels.max() < 10
    average, last = trainer.average.module.state_dict(), trainer.network.state_dict()
    assert not torch.equal(average['heads.depth.weight'], last['heads.depth.weight'])


def test_the_card_says_where_it_comes_from(model, trainer):
    card = open_model(model).card
    assert (card.name, card.label_space, card.classes, card.depth_range) == ('room', 'nyuv2_40', (0, 10), (0.3, 10.0))
    assert (card.camera.fx, card.camera.width, card.camera.height) == (80.0, 96, 72)
    assert card.training['data'] == 'a room'
    assert card.training['licence'] == 'none'
    assert '2 of 2 epochs of adamw (trunk 0.01, default 0.01; polynomial)' in card.training['procedure']
    assert card.metrics['rmse'] == pytest.approx(trainer.metrics['rmse'], abs=1e-4)
    assert card.metrics['protocol']
    assert np.isfinite(card.metrics['miou'])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['missing.safetensors'], 'missing.safetensors: not a readable checkpoint'),
        (
            ['weights.safetensors'],
            'weights.safetensors: not a checkpoint: expected a file that',
        ),
        (['run.safetensors', '--classes', '30:50'], 'classes (30, 50): expected a slice of 0..40'),
    ],
)
def test_what_cannot_be_is_one_clear_line(options, message, trainer, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_file({'a': torch.zeros(1)}, 'weights.safetensors')
    (tmp_path / 'run.safetensors').symlink_to(trainer.out / BEST)
    assert export(*options, '--out', 'out') == 1
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / 'out').exists()


def test_a_slice_that_is_none(tmp_path):
    assert export('x.safetensors', '--out', tmp_path / 'out', '--classes', '10') == 2


def test_the_confidence_is_calibrated_on_the_validation_images(trainer, tmp_path):
    """The temperature is in the card and in the graph: confidence is that of the divided logits, labels stay."""
    assert export(trainer.out / BEST, '--out', tmp_path / 'room', '--calibrate') == 0
    card = open_model(tmp_path / 'room').card
    temperature = card.temperature
    assert temperature != pytest.approx(1, abs=0.01)
    # What the card says is what the run's images have with the temperature, and what they had without.
    assert card.metrics['ece_uncalibrated'] == pytest.approx(trainer.metrics['ece'], abs=1e-4)
    data = trainer.config.validation[0]
    found = evaluate(
        Predictor(tmp_path / 'room', 'torch', 'cpu', 'fp32'), open_dataset('folder', data.root, data.split)
    )
    assert card.metrics['ece'] == pytest.approx(found.summary()['ece'], abs=1e-4)
    assert 'temperature of the confidence fitted on the images of validation' in card.training['procedure']
    image = rooms(1)[0].image
    prediction = Predictor(tmp_path / 'room', 'onnxruntime', 'cpu')(image)
    network = copy.deepcopy(trainer.average.module).eval()
    with torch.inference_mode():
        plain, scaled = (
            Pipeline(network, (0.3, 10.0), (0, 40), value)(torch.from_numpy(image)[None])
            for value in (1.0, temperature)
        )
    assert (prediction.labels == plain['labels'][0].numpy()).mean() >= 0.999
    expected = scaled['confidence'][0].numpy().astype(int)
    assert np.abs(prediction.confidence - expected).max() <= 1
    assert np.abs(plain['confidence'][0].numpy() - expected).max() > 1


def test_a_place_that_cannot_be_written_is_said_before_the_calibration(trainer, tmp_path, monkeypatch, capsys):
    (tmp_path / 'thesis.tex').write_text('years of work')
    monkeypatch.setattr('mtperception.training.checkpoint_export.fit_temperature', lambda *_: pytest.fail('began'))
    assert export(trainer.out / BEST, '--out', tmp_path, '--calibrate') == 1
    assert 'exists and is not a model directory' in capsys.readouterr().err


def test_a_slice_of_classes_needs_some(tmp_path, capsys):
    config = tiny_config(write_rooms(tmp_path / 'data', rooms(2)), ('depth',), epochs=1)
    run = Trainer(config, tmp_path / 'run', torch.device('cpu'))
    run.fit()
    assert export(run.out / 'last.safetensors', '--out', tmp_path / 'out', '--classes', '0:13') == 1
    assert 'found no segmentation, expected it together with a slice of classes' in capsys.readouterr().err


def test_without_validation_images_nothing_can_be_calibrated(shallow, tmp_path, capsys):
    data = write_rooms(tmp_path / 'data', rooms(2))
    config = tiny_config(data, network=shallow, optimizer=OptimizerConfig(), epochs=1, validation=[])
    run = Trainer(config, tmp_path / 'run', torch.device('cpu'))
    run.fit()
    assert export(run.out / 'last.safetensors', '--out', tmp_path / 'out', '--calibrate') == 1
    assert 'the run has no validation images' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()


def test_a_mean_of_checkpoints_and_models(trainer, tmp_path):
    """Each as often as it is named; batch norms' counts of batches are those of the first."""
    first = Checkpoint.read(trainer.out / BEST)
    changed = {name: x + 1 if x.is_floating_point() else x + 7 for name, x in first.group('average').items()}
    Checkpoint(first.tensors | named('average', changed), first.scalars).write(tmp_path / 'other.safetensors')
    assert export(tmp_path / 'other.safetensors', '--out', tmp_path / 'other') == 0

    sources = (
        trainer.out / BEST,
        tmp_path / 'other',
        trainer.out / BEST,
        tmp_path / 'other.safetensors',
        trainer.out / BEST,
    )
    assert export(*sources, '--out', tmp_path / 'mean') == 0
    mean = load_file(tmp_path / 'mean' / 'weights.safetensors')
    for name, x in first.group('average').items():
        torch.testing.assert_close(mean[name], x + 0.4 if x.is_floating_point() else x)
    card = open_model(tmp_path / 'mean')
    assert card.card.metrics == {}
    parts = f'3 x {trainer.out.name}/{BEST} + 2 x other'
    assert card.card.training['procedure'].endswith(f'then the mean of the weights of {parts}')


def test_a_mean_is_of_one_network(trainer, tmp_path, capsys):
    other = Checkpoint.read(trainer.out / BEST)
    [lost] = named('average', {'first.0.weight': None})
    tensors = {name: x for name, x in other.tensors.items() if name != lost}
    Checkpoint(tensors, other.scalars).write(tmp_path / 'other.safetensors')
    assert export(trainer.out / BEST, tmp_path / 'other.safetensors', '--out', tmp_path / 'mean') == 1
    said = capsys.readouterr().err
    assert f'mean of {tmp_path / "other.safetensors"}: not the weights of this network: ' in said
    assert export(trainer.out / BEST, tmp_path / 'nonesuch', '--out', tmp_path / 'mean') == 1
    assert (
        f'{tmp_path / "nonesuch"}: expected a checkpoint, a model directory or the name of a model'
        in capsys.readouterr().err
    )
    assert not (tmp_path / 'mean').exists()


def test_a_mean_is_of_weights_that_mean_the_same(trainer, tmp_path, capsys):
    """As many classes, but others; the same layers, but for another camera."""
    for key, value, problem in (
        ('label_space', 'cityscapes_19', 'its classes: found cityscapes_19, expected nyuv2_40'),
        ('depth_range', [0.3, 80.0], 'its range of depth: found (0.3, 80.0), expected (0.3, 10.0)'),
        ('camera', {'fx': 200.0, 'width': 96, 'height': 72, 'fy': None}, 'its focal length by width: found 2.0833'),
    ):
        first = Checkpoint.read(trainer.out / BEST)
        config = first.scalars['config'] | {key: value}
        Checkpoint(first.tensors, first.scalars | {'config': config}).write(tmp_path / 'other.safetensors')
        assert export(trainer.out / BEST, tmp_path / 'other.safetensors', '--out', tmp_path / 'mean') == 1
        assert problem in capsys.readouterr().err


def test_a_mean_with_weights_that_are_not_finite_is_refused(trainer, tmp_path, capsys):
    first = Checkpoint.read(trainer.out / BEST)
    broken = {'first.0.bias': torch.full_like(first.group('average')['first.0.bias'], float('nan'))}
    Checkpoint(first.tensors | named('average', broken), first.scalars).write(tmp_path / 'broken.safetensors')
    assert export(trainer.out / BEST, tmp_path / 'broken.safetensors', '--out', tmp_path / 'mean') == 1
    said = capsys.readouterr().err
    assert f'{tmp_path / "broken.safetensors"}: ' in said
    assert 'first.0.bias' in said
    assert not (tmp_path / 'mean').exists()

# SPDX-License-Identifier: Apache-2.0
"""Runs from a configuration to a model: what they need, and what they refuse before they begin."""

import shutil

import pytest
from rooms import rooms
from shallow_network import ShallowNet
from tiny_runs import CPU, data_of, history, tiny_config, train

from mtperception.input_policy import InputPolicy
from mtperception.networks import NETWORKS
from mtperception.predictor import Predictor
from mtperception.training.checkpoint import CheckpointError
from mtperception.training.checkpoint_export import export_checkpoint
from mtperception.training.config import ChoiceConfig, ConfigError, OptimizerConfig
from mtperception.training.trainer import LAST, Trainer


def test_data_without_annotations_are_an_error_after_an_epoch(room_data, tmp_path):
    trainer = Trainer(tiny_config(room_data, data=[data_of(room_data, [])], epochs=9), tmp_path, CPU)
    with pytest.raises(ConfigError, match='no image is annotated with depth or segmentation: nothing can be learnt'):
        trainer.fit()
    assert trainer.epoch == 0


def test_a_task_without_annotations_is_named_once(room_data, tmp_path, caplog):
    train(tiny_config(room_data, data=[data_of(room_data, ['depth'])]), tmp_path)
    warning = 'no image of the first epoch is annotated with segmentation: not trained'
    assert [record.message for record in caplog.records if 'annotated' in record.message] == [warning]


def test_a_folder_belongs_to_one_configuration(room_data, tmp_path):
    train(tiny_config(room_data, epochs=1), tmp_path)
    with pytest.raises(CheckpointError, match='differs from this configuration in: epochs, seed'):
        Trainer(tiny_config(room_data, epochs=2, seed=1), tmp_path, CPU)
    again = train(tiny_config(room_data, epochs=1, workers=1, checkpoint_minutes=1.0), tmp_path)  # these are free
    assert again.steps == 4
    assert len(history(tmp_path)) == 1


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'batch_size': 9}, 'batch_size 9: more than the 8 samples'),
        ({'weighting': ChoiceConfig('nonesuch')}, "unknown weighting 'nonesuch': expected one of fixed, uncertainty"),
        ({'weighting': ChoiceConfig('fixed', {'lambda': 1})}, 'weighting fixed with options'),
        ({'regime': ChoiceConfig('nonesuch')}, "unknown regime 'nonesuch'"),
        ({'losses': dict.fromkeys(('segmentation', 'depth'), ChoiceConfig('x'))}, "unknown loss 'x': expected one of"),
        (
            {'weighting': ChoiceConfig('variance', {'window': 2.5})},
            'weighting variance: window is 2.5: expected a whole number',
        ),
        (
            {'losses': dict.fromkeys(('segmentation', 'depth'), ChoiceConfig('berhu', {'fraction': '0.2'}))},
            "loss berhu: fraction is '0.2': expected a number",
        ),
        ({'network': ChoiceConfig('nonesuch')}, "unknown network 'nonesuch'"),
        ({'label_space': 'kitti_6'}, 'nyuv2_40'),
    ],
)
def test_what_cannot_be_trained(changes, message, room_data, tmp_path):
    with pytest.raises(ValueError, match=message):
        Trainer(tiny_config(room_data, **changes), tmp_path / 'run', CPU)
    assert not (tmp_path / 'run').exists()


def test_validation_images_that_the_run_learns_from_are_named(room_data, tmp_path, caplog):
    copied = shutil.copytree(room_data, tmp_path / 'other')  # other images, for all that their ids say
    Trainer(tiny_config(room_data, validation=[data_of(copied)]), tmp_path / 'apart', CPU)
    assert not caplog.text
    Trainer(tiny_config(room_data, validation=[data_of(copied), data_of(room_data)]), tmp_path / 'run', CPU)
    assert f'validation on folder {room_data}: the run learns from 8 of its 8 images' in caplog.text
    assert caplog.text.count('the run learns from') == 1


@pytest.mark.parametrize(('policy', 'width', 'height'), [('stretch', 64, 96), ('tiles', 48, 40)])
def test_the_policy_of_the_configuration_is_what_is_learnt_measured_and_exported(
    policy, width, height, room_data, tmp_path, monkeypatch
):
    monkeypatch.setitem(NETWORKS, 'shallow', ShallowNet)  # it is quickly exported
    network = ChoiceConfig('shallow')
    config = tiny_config(room_data, network=network, optimizer=OptimizerConfig(), epochs=1, validate_every=1)
    config.validation = [data_of(room_data)]
    config.input.policy, config.input.width, config.input.height = policy, width, height
    trainer = train(config, tmp_path / 'run')
    (protocol,) = trainer.protocol.values()
    assert protocol['input'].startswith(f'{policy}: ')
    export_checkpoint(tmp_path / 'run' / LAST, tmp_path / 'model')
    predictor = Predictor(tmp_path / 'model', 'onnxruntime', 'cpu')
    assert predictor.card.input == InputPolicy(policy, width, height)
    assert predictor.working_size(96, 72) == (width, height)
    assert predictor(rooms(1)[0].image).shape == (72, 96)

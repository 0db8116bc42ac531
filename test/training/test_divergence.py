# SPDX-License-Identifier: Apache-2.0
"""A run whose numbers are no longer any stops, says where and what to try, and keeps its last good checkpoint."""

import os
import subprocess
import sys

import pytest
import torch
from ended_process import ended_process
from rooms import rooms, write_rooms
from tiny_runs import CPU, data_of, tiny_config, write_config

from mtperception.training.checkpoint import Checkpoint
from mtperception.training.checkpoint_export import export_checkpoint
from mtperception.training.config import ChoiceConfig, OptimizerConfig
from mtperception.training.divergence import DivergedError
from mtperception.training.examples import BatchLoader
from mtperception.training.trainer import BEST, LAST, Trainer
from mtperception.training.validation import is_best

CONSTANT = ChoiceConfig('step', {'at': [2.0]})


def diverging(root, **changes):
    """Plain SGD with steps that are far too long: after a few of them nothing is finite."""
    optimizer = OptimizerConfig('sgd', {}, {'default': 1e6}, CONSTANT)
    return tiny_config(root, optimizer=optimizer, checkpoint_minutes=1e-9, epochs=20, **changes)


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_it_stops_at_the_first_loss_that_is_not_finite(precision, room_data, tmp_path):
    trainer = Trainer(diverging(room_data, precision=precision, batch_norm='frozen'), tmp_path, CPU)
    with pytest.raises(DivergedError) as error:
        trainer.fit()
    message = str(error.value)
    assert message.startswith(f'step {trainer.steps + 1} (epoch ')
    assert 'expected finite numbers' in message
    assert f'{LAST} is of step {trainer.saved}' in message
    assert 'smaller optimizer.learning_rate' in message
    kept = Checkpoint.read(tmp_path / LAST)
    assert kept.scalars['steps'] == trainer.saved <= trainer.steps
    assert all(x.isfinite().all() for x in kept.group('network').values())


def test_the_command_fails_with_one_line(room_data, tmp_path):
    file = write_config(tmp_path / 'tiny.yaml', diverging(room_data, batch_norm='frozen'))
    command = [sys.executable, '-m', 'mtperception', 'train', str(file), '--out', str(tmp_path / 'run')]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if 'expected finite numbers' in line]
    assert line.startswith('error: step ')
    assert 'Traceback' not in done.stderr
    assert done.stdout == ''


def test_before_the_first_checkpoint(room_data, tmp_path):
    trainer = Trainer(tiny_config(room_data), tmp_path, CPU)
    with torch.no_grad():
        trainer.network.heads['depth'].predict.bias.fill_(torch.nan)
    with pytest.raises(DivergedError, match=r'^step 1 \(epoch 1 of 2\): the loss of depth is nan: .*no checkpoint yet'):
        trainer.fit()
    with pytest.raises(DivergedError, match=r'heads\.depth\.predict\.bias is not finite'):
        trainer.save(LAST)
    assert not (tmp_path / LAST).exists()


def test_a_gradient_that_is_not_finite_moves_nothing(room_data, tmp_path):
    """A loss can be finite where its gradient is not: the square root at 0."""
    trainer = Trainer(tiny_config(room_data), tmp_path, CPU)
    trainer.objective.losses['depth'] = lambda output, target: (0 * output).sum().sqrt()
    before = {name: x.clone() for name, x in trainer.network.named_parameters()}
    batch = next(iter(BatchLoader(trainer.examples, trainer.batches, 0, pin_memory=False)))
    with pytest.raises(DivergedError, match=r'step 1 .*: the gradient of .* is not finite'):
        trainer.step(*batch)
    assert all(torch.equal(x, before[name]) for name, x in trainer.network.named_parameters())


def test_fp16_may_leave_steps_out_but_not_for_ever(room_data, tmp_path):
    """Its scale falls from 65536 to 1 by halves; what is not finite then is no overflow of the scale."""
    trainer = Trainer(tiny_config(room_data, precision='fp16', epochs=20), tmp_path, CPU)
    trainer.objective.losses['depth'] = lambda output, target: output.sum() * torch.inf
    batch = next(iter(BatchLoader(trainer.examples, trainer.batches, 0, pin_memory=False)))
    for _ in range(16):
        trainer.step(*batch)
    assert trainer.updates.scaler.get_scale() == 1
    with pytest.raises(DivergedError, match=r'step 17 .*: the loss of depth is'):
        trainer.step(*batch)
    assert trainer.epoch_losses['depth'] == [0.0, 0]
    assert trainer.epoch_losses['segmentation'][1] == 16


def test_fp16_without_clipping_stops_at_a_gradient_that_is_no_number(room_data, tmp_path):
    trainer = Trainer(tiny_config(room_data, precision='fp16', epochs=20), tmp_path, CPU)
    assert not trainer.config.optimizer.clip_norm
    trainer.objective.losses['depth'] = lambda output, target: (0 * output.float()).sum().sqrt()
    batch = next(iter(BatchLoader(trainer.examples, trainer.batches, 0, pin_memory=False)))
    for _ in range(16):
        trainer.step(*batch)
    with pytest.raises(DivergedError, match=r'step 17 .*: the gradient of .* is not finite'):
        trainer.step(*batch)


def test_weights_that_are_not_finite_are_not_exported(room_data, tmp_path):
    trainer = Trainer(tiny_config(room_data), tmp_path, CPU)
    trainer.save(LAST)
    checkpoint = Checkpoint.read(tmp_path / LAST)
    checkpoint.tensors['average/heads.depth.predict.bias'].fill_(torch.inf)
    checkpoint.write(tmp_path / LAST)
    with pytest.raises(DivergedError, match=r'last\.safetensors: heads\.depth\.predict\.bias is not finite'):
        export_checkpoint(tmp_path / LAST, tmp_path / 'model')
    assert not (tmp_path / 'model').exists()


def test_a_first_score_that_is_no_number_does_not_stand():
    nan = float('nan')
    assert not is_best('rmse', nan, None)
    assert is_best('rmse', 0.5, nan)  # as earlier versions kept it
    assert is_best('rmse', 0.4, 0.5)
    assert not is_best('rmse', 0.6, 0.5)
    assert not is_best('rmse', nan, 0.5)


def test_the_best_is_found_behind_a_validation_without_truth(room_data, tmp_path, caplog):
    """The labels of all images are unknown: there is no mIoU, and no best checkpoint; the run ends well."""
    from dataclasses import replace

    blank = [replace(sample, labels=sample.labels * 0 + 255) for sample in rooms(2)]
    root = write_rooms(tmp_path / 'blank', blank)
    config = tiny_config(room_data, validation=[data_of(root)], validate_every=1, epochs=1)
    Trainer(config, tmp_path / 'run', CPU).fit()
    assert 'miou could not be measured' in caplog.text
    assert not (tmp_path / 'run' / BEST).exists()
    assert (tmp_path / 'run' / LAST).exists()


def test_what_a_killed_run_left_is_taken_away(room_data, tmp_path):
    Trainer(tiny_config(room_data, epochs=1), tmp_path, CPU).fit()
    left = [f'.best.part{ended_process()}.safetensors']
    mine = [f'.last.part{os.getppid()}.safetensors', '.tmp', '.tmpfolder.yaml', 'notes.partial', '.notes']
    for name in left + mine:
        (tmp_path / name).write_bytes(b'half')
    Trainer(tiny_config(room_data, epochs=1), tmp_path, CPU)
    assert not any((tmp_path / name).exists() for name in left)
    assert all((tmp_path / name).exists() for name in [*mine, LAST])

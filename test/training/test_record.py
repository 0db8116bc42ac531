# SPDX-License-Identifier: Apache-2.0
"""What a run leaves beside its weights: curves, pictures, its configuration and where it was made."""

import json
from contextlib import suppress

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_runs import CPU, data_of, history, tiny_config

from mtperception.training.checkpoint import Checkpoint
from mtperception.training.trainer import LAST, Trainer


def test_tensorboard_has_curves_and_pictures(validated):
    events = EventAccumulator(str(validated / 'tensorboard'))
    events.Reload()
    lines = history(validated)
    assert [event.step for event in events.Scalars('loss/depth')] == list(range(1, 13))  # 8 images by twos, 3 epochs
    seen = [event.value for event in events.Scalars('loss/depth')]
    assert sum(seen[:4]) / 4 == pytest.approx(lines[0]['losses']['depth'])
    assert len(events.Scalars('loss/segmentation')) <= 12  # steps without labels have none
    assert [event.value for event in events.Scalars('validation/rmse')] == pytest.approx(
        [line['metrics']['rmse'] for line in lines]
    )
    picture = events.Images('validation/0')[-1]
    assert (picture.height, picture.step) == (72, 12)
    assert picture.width >= 3 * 96  # image, labels, depth


def test_what_made_the_result_lies_beside_it(validated):
    run = json.loads((validated / 'run.json').read_text(encoding='utf-8'))
    assert run['torch'] == torch.__version__
    assert run['processes'] == 1
    assert run['revision']
    config = yaml.safe_load((validated / 'config.yaml').read_text(encoding='utf-8'))
    assert config == Checkpoint.read(validated / LAST).scalars['config']
    assert config['select_by'] == 'rmse'


def test_a_step_takes_the_time_of_a_step(room_data, tmp_path, monkeypatch):
    """Neither validation nor checkpoints count."""
    now = [0.0]
    monkeypatch.setattr('mtperception.training.record.time.monotonic', lambda: now[0])
    trainer = Trainer(tiny_config(room_data, validation=[data_of(room_data, split='pair')], epochs=2), tmp_path, CPU)
    step, validate, save = trainer.step, trainer.validator.measure, trainer.save

    def taking(seconds, call):
        def wrapped(*arguments):
            now[0] += seconds
            return call(*arguments)

        return wrapped

    monkeypatch.setattr(trainer.validator, 'measure', taking(1000, validate))
    monkeypatch.setattr(trainer, 'save', taking(100, save))
    monkeypatch.setattr(trainer, 'step', taking(3, step))
    trainer.fit()
    assert [line['seconds_per_step'] for line in history(tmp_path)] == [3, 3]


def test_curves_are_whole_after_going_on(room_data, tmp_path):
    config = tiny_config(room_data, validation=[data_of(room_data, split='pair')], validate_every=1)
    for last in (4, 8):
        trainer = Trainer(config, tmp_path, CPU)

        def stop(done, total, text, last=last):
            if done == last + 1:
                raise KeyboardInterrupt

        with suppress(KeyboardInterrupt):
            trainer.fit(stop)
    events = EventAccumulator(str(tmp_path / 'tensorboard'))
    events.Reload()
    assert [event.step for event in events.Scalars('validation/miou')] == [4, 8]
    assert [event.step for event in events.Scalars('loss/depth')] == list(range(1, 9))

# SPDX-License-Identifier: Apache-2.0
"""What a run leaves beside its weights: curves, pictures, its configuration and where it was made."""

import json
import subprocess
import sys
from contextlib import suppress

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_runs import CPU, data_of, history, tiny_config

from mtperception.training.checkpoint import Checkpoint, CheckpointError
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


@pytest.mark.parametrize(('name', 'content'), [('config.yaml', 'mine: 1'), ('history.jsonl', 'my own diary')])
def test_files_that_somebody_wrote_are_kept(name, content, room_data, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(CheckpointError, match=f'{name} would be replaced, and is not of a run: use another --out'):
        Trainer(tiny_config(room_data), tmp_path, CPU)
    assert [path.name for path in tmp_path.iterdir() if path.name[0] != '.'] == [name]
    assert (tmp_path / name).read_text() == content


def test_two_processes_do_not_train_in_one_folder(room_data, tmp_path):
    code = (
        'import sys; from pathlib import Path; from mtperception.training.record import _held;'
        'held = _held(Path(sys.argv[1])); print(1, flush=True); sys.stdin.read()'
    )
    other = subprocess.Popen(
        [sys.executable, '-c', code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout.readline() == '1\n'
    with pytest.raises(CheckpointError, match='another process trains there: wait for it, or use another --out'):
        Trainer(tiny_config(room_data), tmp_path, CPU)
    other.communicate('')
    Trainer(tiny_config(room_data), tmp_path, CPU)


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

# SPDX-License-Identifier: Apache-2.0
"""A run that is killed and started again ends where it would have ended: bit by bit."""

import signal
import subprocess
import sys
import time

import pytest
import torch
from tiny_runs import CPU, data_of, history, tiny_config, write_config

from mtperception.data.transforms import ViewConfig
from mtperception.training.checkpoint import Checkpoint, CheckpointError
from mtperception.training.config import ChoiceConfig, OptimizerConfig
from mtperception.training.trainer import BEST, LAST, Trainer

ALWAYS = 1e-9
"""Minutes between checkpoints that are over after every step."""


class Stopped(Exception):  # noqa: N818 - not an error
    """The run ends here."""


def train(config, out, stop=None):
    """Trains to the end, or up to a step, after which a checkpoint was due."""
    trainer = Trainer(config, out, CPU)

    def report(done, total, text):
        if done == stop:
            trainer.save(LAST)
            raise Stopped

    if stop is None:
        trainer.fit(report)
        return
    with pytest.raises(Stopped):
        trainer.fit(report)


def assert_same(first, second):
    """All of two checkpoints, bit by bit, losses included."""
    assert first.scalars == second.scalars
    assert first.tensors.keys() == second.tensors.keys()
    assert [name for name, x in first.tensors.items() if not torch.equal(x, second.tensors[name])] == []


def without_times(out):
    return [{key: value for key, value in line.items() if key != 'seconds_per_step'} for line in history(out)]


def everything_that_waits(root, minutes=10.0):
    """Gradients that are added up, of the weighting too, over batches with uneven annotations."""
    return tiny_config(
        root,
        data=[data_of(root, split='first'), data_of(root, ['depth'], 'last')],
        regime=ChoiceConfig('ubernet', {'task_examples': 3, 'shared_examples': 6}),
        weighting=ChoiceConfig('uncertainty'),
        optimizer=OptimizerConfig(clip_norm=1.0, warm_up_steps=3),
        epochs=3,
        checkpoint_minutes=minutes,
    )


def test_a_killed_process(room_data, tmp_path):
    """SIGKILL in the middle; until then, the file that is replaced after every step is always a whole one."""
    config = everything_that_waits(room_data, ALWAYS)
    file, killed, whole = write_config(tmp_path / 'tiny.yaml', config), tmp_path / 'killed', tmp_path / 'whole'
    command = [sys.executable, '-m', 'mtperception', 'train', str(file), '--out', str(killed)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    steps = 0
    while steps < 3:
        assert process.poll() is None, process.stderr.read()
        steps = Checkpoint.read(killed / LAST).scalars['steps'] if (killed / LAST).exists() else 0
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 3 <= Checkpoint.read(killed / LAST).scalars['steps'] < 12
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    train(config, whole)
    assert_same(Checkpoint.read(killed / LAST), Checkpoint.read(whole / LAST))
    assert without_times(killed) == without_times(whole)


def test_other_images_are_not_the_same_run(room_data, tmp_path):
    config = tiny_config(room_data, data=[data_of(room_data, split='first')], epochs=2)
    train(config, tmp_path, 1)
    state = Checkpoint.read(tmp_path / LAST)
    Checkpoint(state.tensors, state.scalars | {'images': 'of before'}).write(tmp_path / LAST)
    with pytest.raises(CheckpointError, match='learnt from other images than there are now'):
        Trainer(config, tmp_path, CPU)


def test_the_best_of_another_run_is_not_taken_for_its_own(room_data, tmp_path):
    train(tiny_config(room_data, epochs=1), tmp_path)
    (tmp_path / LAST).rename(tmp_path / BEST)
    with pytest.raises(CheckpointError, match=f'{BEST} differs from this configuration in: tasks'):
        Trainer(tiny_config(room_data, ('depth',), epochs=1), tmp_path, CPU)
    Trainer(tiny_config(room_data, epochs=1), tmp_path, CPU)  # killed before its last.safetensors was written


def test_what_it_started_from_is_not_needed_again(room_data, tmp_path):
    train(tiny_config(room_data, epochs=1), tmp_path / 'first')
    first = tmp_path / 'first' / LAST
    config = tiny_config(room_data, start={'all': [str(first)]})
    train(config, tmp_path / 'whole')
    train(config, tmp_path / 'run', 3)
    first.unlink()
    train(config, tmp_path / 'run')
    assert_same(Checkpoint.read(tmp_path / 'run' / LAST), Checkpoint.read(tmp_path / 'whole' / LAST))


@pytest.fixture(scope='module')
def waiting(room_data, tmp_path_factory):
    """The last checkpoint of an uninterrupted run."""
    out = tmp_path_factory.mktemp('waiting')
    train(everything_that_waits(room_data), out)
    return Checkpoint.read(out / LAST)


@pytest.mark.parametrize('stop', [4, 5, 9])
def test_pending_gradients_are_kept(stop, waiting, room_data, tmp_path):
    """Shared gradients are due after 3 batches of 2: stopped one (at an epoch's end), two and none after that."""
    config = everything_that_waits(room_data)
    train(config, tmp_path, stop)
    state = Checkpoint.read(tmp_path / LAST)
    assert state.scalars['steps'] == stop
    pending = stop % 3
    assert state.scalars['pending']['shared'] == pending
    assert bool(state.group('weighting_gradients')) == (pending > 0)
    train(config, tmp_path)
    assert_same(Checkpoint.read(tmp_path / LAST), waiting)


@pytest.mark.parametrize(
    'changes',
    [
        {'precision': 'fp16', 'average_decay': 0.0, 'view': ViewConfig(scale=[0.9, 1.2], crop=[32, 32])},  # slow here
        {
            'weighting': ChoiceConfig('dynamic_weight_average'),
            'optimizer': OptimizerConfig(
                'sgd', {'momentum': 0.9, 'nesterov': True}, {'encoder': 1e-3, 'decoder': 1e-3}
            ),
            'batch_norm': 'frozen',
        },
        {
            'weighting': ChoiceConfig('variance', {'window': 2, 'epsilon': 1e-3}),
            'optimizer': OptimizerConfig('adam', {}, {'default': 1e-3, 'weighting': 1e-2}),
            'epochs': 5,
        },
    ],
)
def test_other_state_that_goes_on(changes, room_data, tmp_path):
    config = tiny_config(room_data, **({'epochs': 3} | changes))
    train(config, tmp_path / 'whole')
    train(config, tmp_path / 'stopped', 3)
    train(config, tmp_path / 'stopped', 10)
    train(config, tmp_path / 'stopped')
    assert_same(Checkpoint.read(tmp_path / 'stopped' / LAST), Checkpoint.read(tmp_path / 'whole' / LAST))


def test_an_end_of_epoch_that_was_not_saved_is_done_again(room_data, tmp_path):
    """As after a kill between the record of an epoch and its checkpoint: no epoch stands in the history twice."""
    validation = [data_of(room_data, split='pair')]
    config = tiny_config(room_data, validation=validation, validate_every=1, select_by='rmse')
    train(config, tmp_path, 8)
    before = (tmp_path / LAST).read_bytes()
    train(config, tmp_path)
    expected, best = without_times(tmp_path), Checkpoint.read(tmp_path / BEST)
    with (tmp_path / 'history.jsonl').open('a', encoding='utf-8') as file:
        file.write('{"epoch": 3, "ste')  # killed while writing
    (tmp_path / LAST).write_bytes(before)
    (tmp_path / BEST).unlink()
    train(config, tmp_path)
    assert without_times(tmp_path) == expected
    assert [line['epoch'] for line in expected] == [1, 2]
    if best.scalars['epoch'] == 2:
        assert_same(Checkpoint.read(tmp_path / BEST), best)

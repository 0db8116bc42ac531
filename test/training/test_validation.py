# SPDX-License-Identifier: Apache-2.0
"""What a run is measured on, with which weights, and which of them it keeps."""

import copy
import json
import shutil

import pytest
from rooms import rooms, write_rooms
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_runs import CPU, data_of, history, tiny_config, train

from mtperception.training.checkpoint import Checkpoint
from mtperception.training.config import ConfigError, DataConfig
from mtperception.training.trainer import BEST, LAST, Trainer
from mtperception.training.validation import is_best


def test_three_tasks_are_measured(validated):
    metrics = history(validated)[-1]['metrics']
    assert {'miou', 'rmse', 'within_30'} <= set(metrics)
    assert Checkpoint.read(validated / LAST).scalars['metrics'] == metrics


@pytest.mark.parametrize(('select_by', 'choose'), [('rmse', min), ('miou', max)])
def test_the_best_is_kept(select_by, choose, validated, room_data, tmp_path):
    if select_by != 'rmse':
        config = tiny_config(room_data, validation=[data_of(room_data, split='pair')], validate_every=1, epochs=3)
        train(config, tmp_path)
        validated = tmp_path
    values = [line['metrics'][select_by] for line in history(validated)]
    best = Checkpoint.read(validated / BEST).scalars
    assert best['best'] == best['metrics'][select_by] == choose(values)
    assert best['epoch'] == 1 + values.index(choose(values))
    assert (validated / BEST).stat().st_mtime_ns <= (validated / LAST).stat().st_mtime_ns  # a kill between loses none


def test_scores_grow_and_errors_shrink():
    assert is_best('miou', 0.3, 0.2)
    assert not is_best('miou', 0.2, 0.2)
    assert is_best('rmse', 0.5, 0.6)
    assert not is_best('rmse', 0.6, 0.5)


def test_the_average_is_what_is_measured(room_data, tmp_path):
    validation = [data_of(room_data, split='pair')]
    config = tiny_config(room_data, validation=validation, epochs=1, depth_range=[1e-6, 10.0], batch_norm='frozen')
    trainer = train(config, tmp_path)
    assert trainer.validator.measure(trainer.average.module)[0] == trainer.metrics
    assert trainer.validator.measure(copy.deepcopy(trainer.network))[0] != trainer.metrics


def test_without_validation_there_is_no_best(room_data, tmp_path):
    train(tiny_config(room_data, epochs=1), tmp_path)
    assert (tmp_path / LAST).exists()
    assert not (tmp_path / BEST).exists()


def test_only_weights_that_were_measured_have_metrics(room_data, tmp_path):
    validation = [data_of(room_data, split='pair')]
    config = tiny_config(room_data, validation=validation, validate_every=2, epochs=3)
    measured = []
    trainer = Trainer(config, tmp_path, CPU)
    trainer.fit(lambda done, total, text: measured.append(bool(trainer.metrics)))
    assert not any(measured), 'a step has changed the weights'
    lines = history(tmp_path)
    assert [bool(line['metrics']) for line in lines] == [False, True, True]
    assert Checkpoint.read(tmp_path / LAST).scalars['metrics'] == lines[-1]['metrics']
    events = EventAccumulator(str(tmp_path / 'tensorboard'))
    events.Reload()
    assert [event.step for event in events.Scalars('validation/miou')] == [8, 12]


class TestWhatIsValidatedOn:
    def measured(self, config, tmp_path):
        trainer = Trainer(config, tmp_path, CPU)
        return trainer.validator.measure(trainer.network)

    def test_tasks_that_are_not_named_are_hidden(self, room_data, tmp_path):
        metrics, _ = self.measured(tiny_config(room_data, validation=[data_of(room_data, ['depth'])]), tmp_path)
        assert 'rmse' in metrics
        assert 'miou' not in metrics
        labels = [data_of(room_data, ['segmentation'])]
        metrics, _ = self.measured(tiny_config(room_data, validation=labels), tmp_path)
        assert 'miou' in metrics
        assert 'rmse' not in metrics

    def test_each_set_measures_its_own_tasks(self, room_data, tmp_path):
        """Normals are made of depth and a camera; where one of them is named, the other is not measured by the way."""
        tasks = ('segmentation', 'depth', 'normals')
        for named, measured, hidden in (('depth', 'rmse', 'within_30'), ('normals', 'within_30', 'rmse')):
            config = tiny_config(room_data, tasks, validation=[data_of(room_data, [named])])
            metrics, _ = self.measured(config, tmp_path)
            assert measured in metrics
            assert hidden not in metrics

    def test_folders_of_one_name_count_both(self, room_data, tmp_path):
        other = tmp_path / 'other' / room_data.name
        write_rooms(other, rooms(2))
        sets = [data_of(room_data), data_of(other)]
        alone = [self.measured(tiny_config(room_data, validation=[each]), tmp_path)[0]['rmse'] for each in sets]
        metrics, protocol = self.measured(tiny_config(room_data, validation=sets), tmp_path)
        assert metrics['rmse'] == pytest.approx(sum(alone) / 2)
        assert [name.rpartition(' ')[2] for name in protocol] == ['(1)', '(2)']
        assert [facts['images'] for facts in protocol.values()] == [8, 2]

    def test_finer_labels_are_grouped(self, room_data, tmp_path):
        config = tiny_config(room_data, label_space='nyuv2_13', validation=[data_of(room_data)])
        metrics, (protocol,) = self.measured(config, tmp_path)[0], self.measured(config, tmp_path)[1].values()
        assert protocol['labels'] == 'nyuv2_40 grouped into nyuv2_13'
        assert 0 <= metrics['miou'] <= 1

    def test_nothing_and_other_labels_are_refused_before_the_training(self, room_data, tmp_path):
        nothing = DataConfig(dataset='folder', root=str(room_data), split='test', folds=[9], part='held_back')
        with pytest.raises(ConfigError, match=r"validation on folder .*: no sample in part 'held_back'"):
            Trainer(tiny_config(room_data, validation=[nothing]), tmp_path, CPU)
        data = [data_of(room_data, ['depth'])]
        config = tiny_config(room_data, label_space='kitti_6', data=data, validation=[data_of(room_data)])
        with pytest.raises(ConfigError, match=r'validation on folder .*: labels of nyuv2_40 with a model of kitti_6'):
            Trainer(config, tmp_path, CPU)

    def test_annotations_of_no_task_of_the_run_are_refused_before_the_training(self, room_data, tmp_path):
        data = [data_of(room_data, ['depth'])]
        config = tiny_config(room_data, tasks=['depth'], data=data, validation=[data_of(room_data, ['segmentation'])])
        with pytest.raises(ConfigError, match=r'validation on folder .*: nothing to compare: expected .* of depth'):
            Trainer(config, tmp_path, CPU)

    def test_and_so_are_images_without_the_truth_of_a_task_that_measures(self, room_data, tmp_path):
        layout = json.loads((room_data / 'dataset.json').read_text())
        layout = {key: value for key, value in layout.items() if not key.startswith('depth')}
        layout['rgb'] = str(room_data / layout['rgb'])
        layout['labels'] = str(room_data / layout['labels'])
        (tmp_path / 'labels').mkdir()
        (tmp_path / 'labels' / 'dataset.json').write_text(json.dumps(layout))
        shutil.copy(room_data / 'test.txt', tmp_path / 'labels')
        data = [data_of(room_data, ['depth'])]
        config = tiny_config(room_data, tasks=['depth'], data=data, validation=[data_of(tmp_path / 'labels')])
        with pytest.raises(ConfigError, match=r'validation on folder .*: nothing to compare: expected .* of depth'):
            Trainer(config, tmp_path / 'run', CPU)

    def test_a_metric_to_choose_by_that_is_not_measured_is_said(self, room_data, tmp_path, caplog):
        train(tiny_config(room_data, validation=[data_of(room_data, ['depth'])], epochs=1), tmp_path)
        assert 'no best.safetensors: select_by is miou, measured are rmse' in caplog.text
        assert not (tmp_path / BEST).exists()

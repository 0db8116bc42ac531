# SPDX-License-Identifier: Apache-2.0
"""The trainer, on a room that it can learn by heart: it learns, validates, keeps the best and says what it did."""

import copy
import json
import math
from contextlib import suppress

import pytest
import torch
import yaml
from rooms import rooms, write_rooms
from shallow_network import ShallowNet
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_runs import data_of, history, tiny_config
from torch.nn import functional

from mtperception.data.transforms import Example, collate
from mtperception.input_policy import InputPolicy
from mtperception.networks import NETWORKS
from mtperception.pipeline import normalize
from mtperception.predictor import Predictor
from mtperception.training.checkpoint import Checkpoint, CheckpointError
from mtperception.training.checkpoint_export import export_checkpoint
from mtperception.training.config import ChoiceConfig, ConfigError, DataConfig, OptimizerConfig
from mtperception.training.losses import BerHu, CrossEntropy
from mtperception.training.trainer import BEST, LAST, Trainer
from mtperception.training.validation import is_better

CPU = torch.device('cpu')
CONSTANT = ChoiceConfig('step', {'at': [2.0]})
"""A schedule that keeps the learning rate."""


def train(config, out):
    trainer = Trainer(config, out, CPU)
    trainer.fit()
    return trainer


def test_data_without_annotations_are_an_error_after_an_epoch(room_data, tmp_path):
    trainer = Trainer(tiny_config(room_data, data=[data_of(room_data, [])], epochs=9), tmp_path, CPU)
    with pytest.raises(ConfigError, match='no image is annotated with depth or segmentation: nothing can be learnt'):
        trainer.fit()
    assert trainer.epoch == 0


def test_a_task_without_annotations_is_named_once(room_data, tmp_path, caplog):
    train(tiny_config(room_data, data=[data_of(room_data, ['depth'])]), tmp_path)
    warning = 'no image of the first epoch is annotated with segmentation: not trained'
    assert [record.message for record in caplog.records if 'annotated' in record.message] == [warning]


def test_it_learns_two_images_by_heart(room_data, tmp_path):
    trainer = Trainer(tiny_config(room_data, epochs=20), tmp_path, CPU)
    batch = collate([trainer.examples[0, 0], trainer.examples[0, 1]], trainer.examples.tasks)
    losses = [trainer.step(*batch) for _ in range(40)]
    assert losses[-1]['segmentation'] < 0.4 * losses[0]['segmentation']
    assert losses[-1]['depth'] < 0.2 * losses[0]['depth']


@pytest.mark.parametrize('precision', ['bf16', 'fp16'])
def test_reduced_precision_learns_the_same(precision, room_data, tmp_path):
    single = Trainer(tiny_config(room_data, epochs=5), tmp_path / 'fp32', CPU)
    reduced = Trainer(tiny_config(room_data, epochs=5, precision=precision), tmp_path / precision, CPU)
    batch = collate([single.examples[0, 0], single.examples[0, 1]], single.examples.tasks)
    first = reduced.step(*batch)
    assert first == pytest.approx(single.step(*batch), rel=0.05)
    for _ in range(12):  # fp16 begins with a scale of 65536 and leaves out the steps in which it is too large
        last = reduced.step(*batch)
    assert all(last[task] < first[task] for task in first)
    assert all(parameter.dtype == torch.float32 for parameter in reduced.network.parameters())


@pytest.mark.parametrize('precision', ['fp32', 'fp16'])
def test_a_batch_without_any_annotation_changes_nothing(precision, room_data, tmp_path):
    config = tiny_config(room_data, precision=precision, average_decay=0.0)
    trainer = Trainer(config, tmp_path, CPU)
    blank = [Example(trainer.examples[0, index].image, {}) for index in range(2)]
    trainer.step(*collate([trainer.examples[0, 0], trainer.examples[0, 1]], trainer.examples.tasks))
    before = copy.deepcopy(trainer.network.state_dict())
    assert trainer.step(*collate(blank, trainer.examples.tasks)) == {}
    assert all(torch.equal(before[name], x) for name, x in trainer.network.state_dict().items())
    assert trainer.steps == 2


def test_blitznet_leaves_a_head_without_annotations_intact(room_data, tmp_path):
    trainer = train(tiny_config(room_data, data=[data_of(room_data, ['depth'])], epochs=1), tmp_path)
    fresh = Trainer(trainer.config, tmp_path / 'fresh', CPU).network.state_dict()
    same = {name for name, x in trainer.network.state_dict().items() if torch.equal(x, fresh[name])}
    assert same == {name for name in fresh if name.startswith('heads.segmentation.')}
    (line,) = history(tmp_path)
    assert set(line['losses']) == {'depth'}


def test_ubernet_takes_the_mean_of_the_gradients_it_added_up(room_data, tmp_path):
    """Two batches of two images: one image has depth, then both have both annotations.

    4 examples are enough for the shared part, 3 for a head: depth has them, segmentation has 2.
    """
    rate = 0.01
    config = tiny_config(
        room_data,
        batch_norm='frozen',
        average_decay=0.0,
        regime=ChoiceConfig('ubernet', {'task_examples': 3, 'shared_examples': 4}),
        optimizer=OptimizerConfig('sgd', {}, {'encoder': rate, 'decoder': rate}, CONSTANT),
    )
    trainer = Trainer(config, tmp_path, CPU)
    network = copy.deepcopy(trainer.network)
    a, b, c, d = (trainer.examples[0, index] for index in range(4))
    some = [Example(a.image, {'depth': a.targets['depth']}), Example(b.image, {})]
    batches = [collate(batch, trainer.examples.tasks) for batch in (some, [c, d])]
    trainer.step(*batches[0])
    moved = [name for name, x in trainer.network.named_parameters() if not torch.equal(x, network.get_parameter(name))]
    assert moved == []
    trainer.step(*batches[1])

    for images, targets, annotated in batches:
        outputs = network(normalize(images.permute(0, 2, 3, 1)))
        outputs = {task: functional.interpolate(x, (32, 32), mode='bilinear') for task, x in outputs.items()}
        loss = 0.5 * BerHu()(outputs['depth'], targets['depth'][:, 1::2, 1::2])
        if annotated['segmentation']:
            loss = loss + 0.5 * CrossEntropy()(outputs['segmentation'], targets['segmentation'][:, 1::2, 1::2])
        (loss / 2).backward()
    for name, parameter in network.named_parameters():
        moves = parameter.requires_grad and not name.startswith('heads.segmentation.')
        expected = parameter - rate * parameter.grad if moves else parameter
        torch.testing.assert_close(trainer.network.get_parameter(name), expected, rtol=1e-5, atol=1e-6)
    assert trainer.updates.pending == {'shared': 0, 'depth': 0, 'segmentation': 1}
    assert trainer.network.heads['segmentation'].predict.bias.grad.any()


@pytest.mark.parametrize('name', ['uncertainty', 'dynamic_weight_average'])
def test_weightings_learn_in_the_trainer(name, room_data, tmp_path):
    trainer = train(tiny_config(room_data, weighting=ChoiceConfig(name), epochs=3), tmp_path)
    fresh = Trainer(trainer.config, tmp_path / 'fresh', CPU).objective.weighting.state_dict()
    assert all(not torch.equal(x, fresh[key]) for key, x in trainer.objective.weighting.state_dict().items())
    assert all(x.isfinite().all() for x in trainer.objective.weighting.state_dict().values())


def test_clipped_gradients(room_data, tmp_path):
    """Plain SGD with rate 1 moves all weights together by the length of the gradient."""
    rates = {'encoder': 1.0, 'decoder': 1.0}
    optimizer = OptimizerConfig('sgd', {}, rates, CONSTANT, clip_norm=0.25)
    trainer = Trainer(tiny_config(room_data, batch_norm='frozen', optimizer=optimizer), tmp_path, CPU)
    before = copy.deepcopy(trainer.network)
    trainer.step(*collate([trainer.examples[0, 0], trainer.examples[0, 1]], trainer.examples.tasks))
    moves = [(x - before.get_parameter(name)).square().sum().item() for name, x in trainer.network.named_parameters()]
    assert math.sqrt(sum(moves)) == pytest.approx(0.25, rel=1e-3)


@pytest.mark.parametrize('weight', [1.0, 0.1])
def test_an_overflow_in_one_part_harms_no_other(weight, room_data, tmp_path):
    """fp16 begins with a scale that is too large for the depth, whose weight is large; gradients are cut together."""
    weighting = ChoiceConfig('fixed', {'weights': {'segmentation': weight, 'depth': 20.0}})
    optimizer = OptimizerConfig(clip_norm=5.0)
    config = tiny_config(room_data, precision='fp16', weighting=weighting, optimizer=optimizer, epochs=9)
    trainer = Trainer(config, tmp_path, CPU)
    batch = collate([trainer.examples[0, 0], trainer.examples[0, 1]], trainer.examples.tasks)
    start = trainer.updates.scaler.get_scale()
    losses = [trainer.step(*batch) for _ in range(15)]
    assert trainer.updates.scaler.get_scale() < start, 'nothing has overflown'
    assert all(x.isfinite().all() for x in trainer.network.state_dict().values())
    assert losses[-1]['depth'] < losses[0]['depth']


def test_the_average_by_hand(room_data, tmp_path):
    """After the first step the weights themselves; then 1/21 of the old and the rest of the new, 2/22, ..."""
    trainer = Trainer(tiny_config(room_data, average_decay=0.06), tmp_path, CPU)
    batch = collate([trainer.examples[0, 0], trainer.examples[0, 1]], trainer.examples.tasks)
    expected = None
    for kept in (0, 1 / 21, 0.06):  # 2/22 is above the decay
        trainer.step(*batch)
        weight = trainer.network.heads['depth'].predict.weight.detach()
        expected = weight.clone() if expected is None else kept * expected + (1 - kept) * weight
        torch.testing.assert_close(trainer.average.module.heads['depth'].predict.weight.detach(), expected)
    norm = 'encoder.stem.1.num_batches_tracked'
    assert trainer.average.module.get_buffer(norm) == trainer.network.get_buffer(norm) == 3


@pytest.fixture(scope='module')
def validated(room_data, tmp_path_factory):
    """A run of three epochs with three tasks, validated after each."""
    out = tmp_path_factory.mktemp('validated')
    tasks = ('segmentation', 'depth', 'normals')
    data = [data_of(room_data, split='first'), data_of(room_data, ['depth'], 'last')]
    validation = [data_of(room_data, split='pair')]
    train(
        tiny_config(room_data, tasks, data=data, validation=validation, validate_every=1, epochs=3, select_by='rmse'),
        out,
    )
    return out


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
    assert is_better('miou', 0.3, 0.2)
    assert not is_better('miou', 0.2, 0.2)
    assert is_better('rmse', 0.5, 0.6)
    assert not is_better('rmse', 0.6, 0.5)


def test_the_average_is_what_is_measured(room_data, tmp_path):
    validation = [data_of(room_data, split='pair')]
    config = tiny_config(room_data, validation=validation, epochs=1, depth_range=[1e-6, 10.0], batch_norm='frozen')
    trainer = train(config, tmp_path)
    assert trainer.validator.measure(trainer.average.module)[0] == trainer.metrics
    assert trainer.validator.measure(copy.deepcopy(trainer.network))[0] != trainer.metrics


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

    def test_a_metric_to_choose_by_that_is_not_measured_is_said(self, room_data, tmp_path, caplog):
        train(tiny_config(room_data, validation=[data_of(room_data, ['depth'])], epochs=1), tmp_path)
        assert 'no best.safetensors: select_by is miou, measured are rmse' in caplog.text
        assert not (tmp_path / BEST).exists()


def test_without_validation_there_is_no_best(room_data, tmp_path):
    train(tiny_config(room_data, epochs=1), tmp_path)
    assert (tmp_path / LAST).exists()
    assert not (tmp_path / BEST).exists()


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
        ({'network': ChoiceConfig('nonesuch')}, "unknown network 'nonesuch'"),
        ({'label_space': 'kitti_6'}, 'nyuv2_40'),
    ],
)
def test_what_cannot_be_trained(changes, message, room_data, tmp_path):
    with pytest.raises(ValueError, match=message):
        Trainer(tiny_config(room_data, **changes), tmp_path / 'run', CPU)
    assert not (tmp_path / 'run').exists()


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

# SPDX-License-Identifier: Apache-2.0
"""What a step changes, on a room that it can learn by heart: weights, gradients that wait, the average."""

import copy
import math

import pytest
import torch
from tiny_runs import CPU, data_of, history, tiny_config, train
from torch.nn import functional

from mtperception.data.transforms import Example, collate
from mtperception.pipeline import normalize
from mtperception.training import trainer as trainer_module
from mtperception.training.config import ChoiceConfig, OptimizerConfig
from mtperception.training.losses import BerHu, CrossEntropy
from mtperception.training.trainer import Trainer

CONSTANT = ChoiceConfig('step', {'at': [2.0]})
"""A schedule that keeps the learning rate."""


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


def test_each_process_drops_other_features(room_data, tmp_path, monkeypatch):
    config = tiny_config(room_data, network=ChoiceConfig('multitasknet', {'width': 0.05}), optimizer=OptimizerConfig())

    def first_losses(name, process):
        monkeypatch.setattr(trainer_module, 'rank', lambda: process)
        trainer = Trainer(config, tmp_path / name, CPU)
        batch = collate([trainer.examples[0, 0], trainer.examples[0, 1]], trainer.examples.tasks)
        return trainer.step(*batch)

    first = first_losses('first', 0)
    assert first_losses('again', 0) == first
    assert first_losses('second', 1) != first


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


def test_a_batch_for_frozen_weights_alone_changes_nothing(room_data, tmp_path):
    """One head is trained; a batch has annotations for the other."""
    frozen = ['encoder', 'projections', 'crp', 'adapt', 'heads.segmentation']
    config = tiny_config(room_data, frozen=frozen, batch_norm='frozen', average_decay=0.0)
    trainer = Trainer(config, tmp_path, CPU)
    examples = [trainer.examples[0, index] for index in range(2)]
    labels = [Example(example.image, {'segmentation': example.targets['segmentation']}) for example in examples]
    before = copy.deepcopy(trainer.network.state_dict())
    assert set(trainer.step(*collate(labels, trainer.examples.tasks))) == {'segmentation'}
    assert all(torch.equal(before[name], x) for name, x in trainer.network.state_dict().items())
    trainer.step(*collate(examples, trainer.examples.tasks))
    changed = [name for name, x in trainer.network.state_dict().items() if not torch.equal(before[name], x)]
    assert changed
    assert all(name.startswith('heads.depth.') for name in changed)


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


@pytest.mark.parametrize('regime', ['blitznet', 'ubernet'])
def test_a_decoder_without_annotation_learns_nothing_from_the_others(regime, room_data, tmp_path):
    """MT-UNet's decoders see each other's features: the loss of one reaches the weights of the other."""
    config = tiny_config(
        room_data,
        network=ChoiceConfig('mt_unet', {'width': 0.125}),
        regime=ChoiceConfig(regime),
        optimizer=OptimizerConfig(learning_rate={'default': 1e-3}),
    )
    trainer = Trainer(config, tmp_path, CPU)
    pair = [trainer.examples[0, index] for index in (0, 1)]
    labels_only = [Example(x.image, {'segmentation': x.targets['segmentation']}) for x in pair]
    both, labels = (collate(examples, trainer.examples.tasks) for examples in (pair, labels_only))
    parameters = [x for group in trainer.updates.optimizers['depth'].param_groups for x in group['params']]
    trainer.step(*labels)
    assert all(x.grad is None for x in parameters)
    assert trainer.updates.pending['depth'] == 0
    trainer.step(*both)
    waiting = [copy.deepcopy(x.grad) for x in parameters]
    assert any(x is not None for x in waiting) is (regime == 'ubernet')
    trainer.step(*labels)
    torch.testing.assert_close([x.grad for x in parameters], waiting, rtol=0, atol=0)
    assert trainer.updates.pending['depth'] == (regime == 'ubernet')


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

# SPDX-License-Identifier: Apache-2.0
"""What a run sees, and in which order: seed and epoch decide alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from rooms import rooms, write_rooms
from tiny_runs import data_of, tiny_config

from mtperception.data.dataset import DatasetError
from mtperception.data.transforms import ViewConfig
from mtperception.training.config import ConfigError, DataConfig
from mtperception.training.examples import Batches, BatchLoader, Part, TrainingSet


def keys(batches):
    return [key for batch in batches for key in batch]


def test_every_epoch_has_an_order_of_its_own():
    batches = Batches(10, 3, seed=1)
    first = keys(batches)
    assert first == keys(batches) == keys(Batches(10, 3, seed=1))
    assert len(batches) == batches.per_epoch == 3  # whole batches only: 9 of 10
    assert len({position for _, position in first}) == 9
    assert first != keys(Batches(10, 3, seed=2))
    batches.epoch = 1
    second = keys(batches)
    assert {epoch for epoch, _ in second} == {1}
    assert [position for _, position in second] != [position for _, position in first]


def test_an_epoch_goes_on_where_it_stopped():
    whole, rest = Batches(10, 3, seed=1), Batches(10, 3, seed=1)
    rest.done = 2
    assert list(rest) == list(whole)[2:]
    assert len(rest) == 1


def test_worker_processes_read_the_same(room_data):
    examples = TrainingSet(tiny_config(room_data))
    torch.manual_seed(3)
    expected_state = torch.get_rng_state()
    seen = []
    for workers in (0, 1):
        loader = BatchLoader(examples, Batches(len(examples), 4, 0), workers, pin_memory=False)
        seen.append([(images, targets['depth']) for images, targets, _ in loader])
    assert len(seen[0]) == 2
    for here, there in zip(*seen, strict=True):
        assert all(torch.equal(*pair) for pair in zip(here, there, strict=True))
    assert torch.equal(torch.get_rng_state(), expected_state)  # reading is no part of the run's chance


@pytest.mark.parametrize('workers', [0, 1])
def test_a_file_that_cannot_be_read_is_said_in_a_line(workers, tmp_path):
    root = write_rooms(tmp_path / 'rooms', rooms(2))
    (damaged, *_) = sorted(root.glob('rgb/*'))
    damaged.write_bytes(b'no image')
    examples = TrainingSet(tiny_config(root))
    with pytest.raises(DatasetError) as raised:
        list(BatchLoader(examples, Batches(2, 2, 0), workers, pin_memory=False))
    assert str(damaged) in str(raised.value)
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize('workers', [0, 1])
def test_a_sample_that_gives_no_view_is_named_in_a_line(workers, room_data):
    config = tiny_config(room_data, ['normals'])
    config.view.normals_window = 8
    examples = TrainingSet(config)
    with pytest.raises(DatasetError, match=r'^a view of sample [01]: [^\n]*window[^\n]*$'):
        list(BatchLoader(examples, Batches(2, 2, 0), workers, pin_memory=False))


def test_views_change_from_epoch_to_epoch(room_data):
    examples = TrainingSet(tiny_config(room_data))
    assert torch.equal(examples[0, 3].image, examples[0, 3].image)
    assert not torch.equal(examples[0, 3].image, examples[1, 3].image)


def test_parts_follow_one_another(room_data):
    config = tiny_config(room_data, data=[data_of(room_data, ['depth'], 'first'), data_of(room_data, split='pair')])
    examples = TrainingSet(config)
    assert len(examples) == 6
    assert [set(examples[0, position].targets) for position in range(6)] == [{'depth'}] * 4 + [
        {'segmentation', 'depth'}
    ] * 2


def test_classes_are_counted(room_data):
    config = tiny_config(room_data, data=[data_of(room_data, ['depth'], 'last'), data_of(room_data, split='pair')])
    examples = TrainingSet(config)
    parts = Part(config.data[1], config.tasks, config.space)
    labels = np.concatenate([parts[index].labels.ravel() for index in range(2)])
    expected = [int((labels == index).sum()) for index in range(40)]
    assert examples.class_counts().tolist() == expected
    assert sum(expected) == (labels != 255).sum() > 0


def test_weights_say_how_often_a_sample_is_seen(room_data):
    """Of four samples one in each epoch, in turn; of four others three times; of two once."""
    splits = {'first': 0.25, 'last': 3.0, 'pair': 1.0}
    parts = [replace(data_of(room_data, split=split), weight=weight) for split, weight in splits.items()]
    examples = TrainingSet(tiny_config(room_data, data=parts))
    assert (len(examples), examples.per_epoch) == (10, 1 + 12 + 2)
    epochs = [examples.keys(epoch) for epoch in range(4)]
    assert all(len(keys) == len(set(keys)) == 15 for keys in epochs)
    assert sorted(key[1] for keys in epochs for key in keys if key[1] < 4) == [0, 1, 2, 3]
    assert all([key[1] for key in keys].count(5) == 3 for keys in epochs)
    first, again = (key for key in epochs[0] if key[1] == 5 and key[2:] in ((), (1,)))
    assert not torch.equal(examples[first].image, examples[again].image)
    batches = Batches(examples.per_epoch, 5, 0, examples.keys)
    assert sorted(key for batch in batches for key in batch) == sorted(epochs[0])


def test_without_weights_the_order_is_what_it_was(room_data):
    examples = TrainingSet(tiny_config(room_data))
    assert list(Batches(8, 2, 3, examples.keys)) == list(Batches(8, 2, 3))


def test_things_of_other_images_are_pasted(room_data):
    def labels(share):
        examples = TrainingSet(tiny_config(room_data, view=ViewConfig(crop=[64, 64], copy_paste=share)))
        return [examples[0, position].targets['segmentation'] for position in range(8)]

    without, pasted, again = labels(0.0), labels(1.0), labels(1.0)
    assert any(not torch.equal(*pair) for pair in zip(without, pasted, strict=True))
    assert all(torch.equal(*pair) for pair in zip(pasted, again, strict=True))


def test_classes_count_by_weight(room_data):
    counts = [
        TrainingSet(tiny_config(room_data, data=[replace(data_of(room_data), weight=weight)])).class_counts()
        for weight in (1.0, 2.5)
    ]
    torch.testing.assert_close(counts[1], 2.5 * counts[0])


def test_what_does_not_fit(room_data):
    space = tiny_config(room_data, label_space='kitti_6').space
    with pytest.raises(ConfigError, match='nyuv2_40'):
        Part(data_of(room_data), ('segmentation',), space)
    assert Part(data_of(room_data), ('depth',), space)[0].labels is None  # labels that nobody wants may be any
    nothing = DataConfig(dataset='folder', root=str(room_data), split='test', folds=[9], part='held_back')
    with pytest.raises(ConfigError, match="no sample in part 'held_back' of split 'test'"):
        Part(nothing, ('depth',), space)
    with pytest.raises(ConfigError, match='batch_size 11: more than the 10 samples'):
        Batches(10, 11, 0)

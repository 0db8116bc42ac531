# SPDX-License-Identifier: Apache-2.0
"""What is held back never trains, and neighbours stay on one side."""

import numpy as np
import pytest

from mtperception.data.fold import Subset, held_back
from mtperception.types import Sample


class Numbered:
    """Samples that can be told apart by their only pixel."""

    label_space = 'nyuv2_40'

    def __init__(self, length):
        self.ids = tuple(f'{index:04d}' for index in range(length))

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        return Sample(np.full((1, 1, 3), index, np.uint8))


def test_a_fold_is_ten_neighbours_of_every_hundred():
    """795 samples: fold 5 begins at 50, 150, ... 750 and so has eight blocks of ten."""
    positions = held_back(795, 5)
    assert positions[:11] == [*range(50, 60), 150]
    assert len(positions) == 80
    assert held_back(795, 9)[-1] == 794  # a block that the end cuts short
    assert len(held_back(795, 9)) == 75


@pytest.mark.parametrize('length', [0, 7, 95, 110, 795])
def test_every_sample_is_held_back_in_one_fold(length):
    folds = [held_back(length, fold) for fold in range(10)]
    assert sorted(index for positions in folds for index in positions) == list(range(length))


@pytest.mark.parametrize('fold', [-1, 10])
def test_there_are_ten_folds(fold):
    with pytest.raises(ValueError, match='expected 0 to 9'):
        held_back(100, fold)


def test_a_subset_is_a_data_set():
    subset = Subset(Numbered(30), [20, 3, 4])
    assert (len(subset), subset.ids, subset.label_space) == (3, ('0020', '0003', '0004'), 'nyuv2_40')
    assert [int(subset[index].image[0, 0, 0]) for index in range(3)] == [20, 3, 4]
    assert [int(sample.image[0, 0, 0]) for sample in subset] == [20, 3, 4]


@pytest.mark.parametrize('index', [-1, 3])
def test_a_subset_ends_where_it_ends(index):
    with pytest.raises(IndexError, match='of 3'):
        Subset(Numbered(30), [20, 3, 4])[index]


@pytest.mark.parametrize('index', [-1, 30])
def test_a_subset_of_what_is_not_there_is_refused(index):
    with pytest.raises(IndexError, match='data set of 30'):
        Subset(Numbered(30), [0, index])

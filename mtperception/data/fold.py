# SPDX-License-Identifier: Apache-2.0
"""Parts of a data set: what is trained on, and what is held back to choose by."""

from collections.abc import Sequence

from mtperception.data.dataset import Dataset
from mtperception.errors import InputError
from mtperception.types import Sample

BLOCK = 10
"""Samples that stay together, since neighbouring ids often show the same room. A room at the border of two blocks can
still be on both sides: of NYUv2 at ids 64 and 65, 415 and 416, 746 and 747, for example."""
FOLDS = 10


class Subset:
    """Some samples of a data set, as a data set.

    Args:
        dataset: the whole.
        indices: positions in it, in the order wanted.

    Raises:
        IndexError: for a position that the data set does not have.
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int]) -> None:
        outside = [index for index in indices if not 0 <= index < len(dataset)]
        if outside:
            raise IndexError(f'position {outside[0]} of a data set of {len(dataset)} samples')
        self._dataset = dataset
        self._indices = tuple(indices)
        self.ids: tuple[str, ...] = tuple(dataset.ids[index] for index in indices)
        self.label_space = dataset.label_space

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._indices)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            IndexError: outside of 0..len - 1.
            DatasetError: if a file of it cannot be used.
        """
        if not 0 <= index < len(self):
            raise IndexError(f'sample {index} of {len(self)}')
        return self._dataset[self._indices[index]]


def held_back(length: int, fold: int) -> list[int]:
    """Positions of one fold: of every hundred samples in a row, the ten from 10 * fold on.

    Args:
        length: of the data set.
        fold: 0..9.

    Raises:
        ValueError: for another fold.
    """
    if not 0 <= fold < FOLDS:
        raise InputError(f'fold {fold}: expected 0 to {FOLDS - 1}')
    return [index for index in range(length) if index // BLOCK % FOLDS == fold]

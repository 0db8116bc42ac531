# SPDX-License-Identifier: Apache-2.0
"""Truth in finer classes than the model's: the one place where its labels become classes of the model."""

from dataclasses import replace

import numpy as np

from mtperception.data import Dataset
from mtperception.labels import IGNORE_INDEX, LabelSpace, load_label_space
from mtperception.types import Sample


def truth_grouping(model: LabelSpace, truth: LabelSpace) -> np.ndarray | None:
    """uint8 256: the model's class by class of a truth whose label space is grouped into the model's; else None.

    Indices that are no class of the truth become one that is no class of the model, so that they stay an error.
    """
    if model.name not in truth.groupings:
        return None
    table = truth.grouping(model.name)
    table[len(truth) : IGNORE_INDEX] = IGNORE_INDEX - 1
    return table


class GroupedTruth:
    """A data set whose labels are classes of the model, out of finer ones; else, and in all other respects, as it is.

    Args:
        dataset: images and truth.
        model: label space of the model.
    """

    def __init__(self, dataset: Dataset, model: LabelSpace) -> None:
        self._dataset = dataset
        self.ids = dataset.ids
        self.label_space = dataset.label_space
        self._table = None
        if dataset.label_space:
            self._table = truth_grouping(model, load_label_space(dataset.label_space))
        if self._table is not None:
            self.label_space = model.name

    @property
    def description(self) -> str:
        """What was done, for the protocol; empty if nothing was."""
        return '' if self._table is None else f'{self._dataset.label_space} grouped into {self.label_space}'

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample; raises as the data set does."""
        sample = self._dataset[index]
        if self._table is None or sample.labels is None:
            return sample
        return replace(sample, labels=self._table[sample.labels])

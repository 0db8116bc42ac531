# SPDX-License-Identifier: Apache-2.0
"""What every data set is: a sequence of Samples under fixed ids."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from mtperception.errors import MTPerceptionError
from mtperception.types import Sample


class DatasetError(MTPerceptionError, ValueError):
    """A data set that cannot be read; the message says what was found, what was expected and where to get it."""


class Dataset(Protocol):
    """A split of a data set on disk. Files are read when a sample is asked for."""

    ids: Sequence[str]
    """Name of each sample, unique in the split, in a fixed order; neighbours may show the same scene."""
    label_space: str
    """The label space of `Sample.labels`; empty without labels."""

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            IndexError: outside of 0..len - 1.
            DatasetError: if a file of it is missing, damaged or of another size than its image.
        """
        ...


DatasetFactory = Callable[[Path, str], Dataset]
"""Opens a split (second argument) of the data set in a folder; raises DatasetError."""

# SPDX-License-Identifier: Apache-2.0
"""What a run learns from: parts of data sets, seen in random views, in an order that seed and epoch decide alone."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from mtperception.data import Dataset, open_dataset
from mtperception.data.copy_paste import paste_thing
from mtperception.data.dataset import DatasetError
from mtperception.data.fold import Subset, held_back
from mtperception.data.transforms import Example, Targets, collate, random_view
from mtperception.labels import IGNORE_INDEX, LabelSpace, load_label_space
from mtperception.training.config import ConfigError, DataConfig, TrainConfig
from mtperception.training.distributed import rank, world_size
from mtperception.types import Sample


class Part:
    """One entry of the configuration's data: a data set, its fold taken out, annotations hidden, labels converted.

    Args:
        config: the entry.
        tasks: of the network.
        space: the label space of the network's segmentation head.

    Raises:
        DatasetError: if the data set cannot be opened.
        ConfigError: if its labels cannot be converted to `space`, or it has no sample.
    """

    def __init__(self, config: DataConfig, tasks: Sequence[str], space: LabelSpace) -> None:
        name = f'{config.dataset} {config.root}'
        self.tasks = tuple(task for task in tasks if config.tasks is None or task in config.tasks)
        self._dataset = select(open_dataset(config.dataset, config.root, config.split), config)
        self._table = None
        own = self._dataset.label_space
        if 'segmentation' in self.tasks and own:
            try:
                self._table = load_label_space(own).conversion(space)
            except ValueError as error:
                raise ConfigError(f'{name}: {error}') from error
        if not len(self._dataset):
            raise ConfigError(f'{name}: no sample in part {config.part!r} of split {config.split!r}')

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._dataset)

    @property
    def ids(self) -> Sequence[str]:
        """Of the samples."""
        return self._dataset.ids

    @property
    def has_labels(self) -> bool:
        """Whether labels are read."""
        return self._table is not None

    def __getitem__(self, index: int) -> Sample:
        """A sample, its labels in the network's label space, or hidden."""
        sample = self._dataset[index]
        visible = self.has_labels and sample.labels is not None
        return replace(sample, labels=self._table[sample.labels] if visible else None)


def select(dataset: Dataset, config: DataConfig) -> Dataset:
    """The part of a data set that an entry of the configuration names."""
    if config.part == 'all':
        return dataset
    folds = {index for fold in config.folds for index in held_back(len(dataset), fold)}
    return Subset(dataset, [i for i in range(len(dataset)) if (i in folds) == (config.part == 'held_back')])


Key = tuple[int, ...]
"""Epoch and position of a sample, and which of its further views in that epoch, from 1 on, if it is one."""


class TrainingSet:
    """All parts, one after the other; indexed by (epoch, position), gives the view of that sample in that epoch."""

    def __init__(self, config: TrainConfig) -> None:
        self.tasks = tuple(config.tasks)
        self._config = config
        self._parts = [Part(data, self.tasks, config.space) for data in config.data]
        self._ends = np.cumsum([len(part) for part in self._parts])

    def __len__(self) -> int:
        """Number of samples."""
        return int(self._ends[-1])

    @property
    def digest(self) -> str:
        """Stands for the samples: which, and in which order."""
        ids = '\n\n'.join('\n'.join(part.ids) for part in self._parts)
        return hashlib.sha256(ids.encode()).hexdigest()

    def shared_with(self, data: DataConfig, ids: Sequence[str]) -> int:
        """How many samples of an entry of the configuration, which has these ids, are learnt from."""
        learnt: set[str] = set()
        for part, own in zip(self._parts, self._config.data, strict=True):
            if own.dataset == data.dataset and Path(own.root).resolve() == Path(data.root).resolve():
                learnt.update(part.ids)
        return len(learnt.intersection(ids))

    @property
    def per_epoch(self) -> int:
        """Views in an epoch: each part counts as often as its weight says."""
        return sum(self._views(part) for part in range(len(self._parts)))

    def _views(self, part: int) -> int:
        """Views of a part in an epoch, one or more."""
        return max(1, round(self._config.data[part].weight * len(self._parts[part])))

    def keys(self, epoch: int) -> list[Key]:
        """Keys of all views of an epoch. Of a part that an epoch shows only some samples of, the next epoch shows
        others."""
        keys: list[Key] = []
        for number, part in enumerate(self._parts):
            first, length, count = int(self._ends[number]) - len(part), len(part), self._views(number)
            if count == length:
                keys += [(epoch, first + index) for index in range(length)]
                continue
            order = np.random.default_rng((self._config.seed, number)).permutation(length)
            for view in range(count):
                key = (epoch, first + int(order[(epoch * count + view) % length]))
                keys.append((*key, view // length) if view >= length else key)
        return keys

    def __getitem__(self, key: Key) -> Example:
        """The view of a sample, the same for the same seed and key."""
        part, index = self._find(key[1])
        rng = np.random.default_rng((self._config.seed, *key))
        config, sample = self._config, part[index]
        if config.view.copy_paste and rng.random() < config.view.copy_paste and sample.labels is not None:
            sample = paste_thing(sample, part[int(rng.integers(len(part)))], rng)
        return random_view(sample, part.tasks, config.view, config.training_camera, config.input_policy, rng)

    def name_of(self, key: Key) -> str:
        """The id of the sample of a key."""
        part, index = self._find(key[1])
        return part.ids[index]

    def _find(self, position: int) -> tuple[Part, int]:
        """The part that a position lies in, and the index there."""
        part = int(np.searchsorted(self._ends, position, side='right'))
        return self._parts[part], position - int(self._ends[part - 1] if part else 0)

    def class_counts(self) -> torch.Tensor:
        """float64 C: pixels of each class, times the weight of the part."""
        counts = np.zeros(256)
        for part, data in zip(self._parts, self._config.data, strict=True):
            if not part.has_labels:
                continue
            for index in range(len(part)):
                labels = part[index].labels
                if labels is not None:
                    counts += data.weight * np.bincount(labels.ravel(), minlength=256)
        counts[IGNORE_INDEX] = 0
        return torch.from_numpy(counts[: len(self._config.space)]).double()


class Batches:
    """The positions of each batch of an epoch, and of each the share of this process. Whole batches only.

    Args:
        length: samples.
        batch_size: images per batch, of all processes together.
        seed: of the order.
        keys: those of an epoch, as many as there are samples; by default each sample once.

    Raises:
        ConfigError: if the processes cannot share a batch evenly, or there are too few samples for one.
    """

    def __init__(
        self, length: int, batch_size: int, seed: int, keys: Callable[[int], Sequence[Key]] | None = None
    ) -> None:
        if batch_size % world_size():
            raise ConfigError(f'batch_size {batch_size}: expected a multiple of the {world_size()} processes')
        if length < batch_size:
            raise ConfigError(f'batch_size {batch_size}: more than the {length} samples: choose fewer')
        self._length, self._size, self._seed = length, batch_size, seed
        self._keys = keys or (lambda epoch: [(epoch, position) for position in range(length)])
        self.epoch = 0
        self.done = 0
        """Batches of the epoch that have been seen."""

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        return self._length // self._size

    def __len__(self) -> int:
        """Batches that are left of the epoch."""
        return self.per_epoch - self.done

    def __iter__(self) -> Iterator[list[Key]]:
        """Keys of the training set, batch by batch."""
        order = np.random.default_rng((self._seed, self.epoch)).permutation(self._length)
        keys = self._keys(self.epoch)
        share = self._size // world_size()
        for batch in range(self.done, self.per_epoch):
            start = batch * self._size + rank() * share
            yield [keys[index] for index in order[start : start + share]]


Batch = tuple[torch.Tensor, Targets, dict[str, int]]
"""What `collate` gives."""


class BatchLoader:
    """Reads the views of `batches`, in worker processes. Each iteration gives what is left of an epoch.

    Raises:
        DatasetError: while it is iterated, at a sample that cannot be read.
    """

    def __init__(self, training_set: TrainingSet, batches: Batches, workers: int, *, pin_memory: bool) -> None:
        self._loader = DataLoader(
            _ErrorsAsData(training_set),
            batch_sampler=batches,
            num_workers=workers,
            collate_fn=partial(_collate_or_error, tasks=training_set.tasks),
            pin_memory=pin_memory,
            multiprocessing_context='forkserver' if workers else None,
            persistent_workers=workers > 0,
            worker_init_fn=_single_thread if workers else None,
            # Else each pass would draw from the global generator, and a run that goes on would see other numbers.
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[Batch]:
        """The batches, stacked."""
        for batch in self._loader:
            if isinstance(batch, DatasetError):
                raise batch
            yield batch


class _ErrorsAsData:
    """A training set that returns an error: raised in a worker, it would arrive with the worker's whole traceback."""

    def __init__(self, training_set: TrainingSet) -> None:
        self._training_set = training_set

    def __len__(self) -> int:
        return len(self._training_set)

    def __getitem__(self, key: Key) -> Example | DatasetError:
        try:
            return self._training_set[key]
        except DatasetError as error:
            return error
        except ValueError as error:
            return DatasetError(f'a view of sample {self._training_set.name_of(key)}: {error}')


def _collate_or_error(examples: list[Example | DatasetError], tasks: tuple[str, ...]) -> Batch | DatasetError:
    errors = (example for example in examples if isinstance(example, DatasetError))
    return next(errors, None) or collate(examples, tasks)


def _single_thread(_: int) -> None:
    """Workers share the cores with the training: more threads would only wait for each other."""
    torch.set_num_threads(1)

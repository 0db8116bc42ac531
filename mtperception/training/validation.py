# SPDX-License-Identifier: Apache-2.0
"""How good the network in training is: measured by `mtperception.evaluation`, as a model would be."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mtperception.backends.torch_backend import NetworkBackend
from mtperception.card import ModelCard
from mtperception.data import open_dataset
from mtperception.evaluation.comparison import map_labels
from mtperception.evaluation.evaluate import evaluate
from mtperception.evaluation.grouped_truth import truth_grouping
from mtperception.labels import load_label_space
from mtperception.predictor import BackendPredictor
from mtperception.tasks import TASKS, larger_is_better
from mtperception.training.config import ConfigError, DataConfig, TrainConfig
from mtperception.training.examples import select
from mtperception.training.meaning import draft_card
from mtperception.types import Sample
from mtperception.visualization import colorize_depth, overlay, side_by_side

PICTURES = 4


def is_best(metric: str, value: float, best: float | None) -> bool:
    """Whether a value is better than the best so far. NaN is never better; anything else is better than NaN."""
    if math.isnan(value):
        return False
    if best is None or math.isnan(best):
        return True
    return value > best if larger_is_better(metric) else value < best


class Truth:
    """What an entry of the configuration has to validate on, as a data set: of its tasks alone.

    Args:
        data: the entry.
        config: says what the network gives.

    Raises:
        DatasetError: if the data set cannot be opened.
        ConfigError: if it has no sample, or none with anything to compare, or its labels cannot be compared with the
            network's.
    """

    def __init__(self, data: DataConfig, config: TrainConfig) -> None:
        name = f'validation on {data.dataset} {data.root}'
        self._dataset = select(open_dataset(data.dataset, data.root, data.split), data)
        if not len(self._dataset):
            raise ConfigError(f'{name}: no sample in part {data.part!r} of split {data.split!r}')
        self.ids = self._dataset.ids
        given = config.tasks if data.tasks is None else [task for task in config.tasks if task in data.tasks]
        self.tasks = [task for task in given if task != 'segmentation' or self._dataset.label_space]
        """What is measured."""
        if not self.tasks:
            raise ConfigError(f'{name}: nothing to compare: expected annotations of {", ".join(config.tasks)}')
        self._with_depth = any('depth' in TASKS[task].target.needs for task in self.tasks)
        self.label_space = self._dataset.label_space if 'segmentation' in self.tasks else ''
        if not self.label_space and not any(map(self._says_something, range(len(self)))):
            raise ConfigError(f'{name}: nothing to compare: expected annotations of {", ".join(self.tasks)}')
        if self.label_space:
            own, space = load_label_space(self.label_space), config.space
            try:
                map_labels(space, (0, len(space)), space if truth_grouping(space, own) is not None else own)
            except ValueError as error:
                raise ConfigError(f'{name}: {error}') from error

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._dataset)

    def __getitem__(self, index: int) -> Sample:
        """A sample, without what is not to be measured. Depth stays where normals are: they are made of it."""
        sample = self._dataset[index]
        labels = sample.labels if self.label_space else None
        return replace(sample, labels=labels, depth=sample.depth if self._with_depth else None)

    def _says_something(self, index: int) -> bool:
        sample = self[index]
        return any(TASKS[task].target.is_in(sample) for task in self.tasks)


class Validator:
    """The data sets to validate on. False if there are none.

    Args:
        config: names them, and says what the network gives.
        device: to evaluate on.

    Raises:
        DatasetError, ConfigError: if one cannot be opened or is not to be compared with (`Truth`).
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self._card = draft_card(config, 'in training')
        self._space = config.space
        self._device = str(device)
        self._sets = [(data, Truth(data, config)) for data in config.validation]
        self._names = _numbered([_name(data) for data in config.validation])

    def __bool__(self) -> bool:
        """Whether there is anything to validate on."""
        return bool(self._sets)

    @property
    def datasets(self) -> list[Truth]:
        """What there is to validate on."""
        return [truth for _, truth in self._sets]

    def measure(self, network: nn.Module, card: ModelCard | None = None) -> tuple[dict[str, float], dict[str, Any]]:
        """Evaluate a network on every validation set, in single precision.

        Args:
            network: with its weights.
            card: of the model that it is to be; by default that of the configuration.

        Returns:
            Metrics by name (with several sets, the mean of those that have it), and the protocol of each set, which
            with several sets has its metrics.
        """
        predictor = self._predictor(network, card or self._card)
        results = {}
        for name, (data, truth) in zip(self._names, self._sets, strict=True):
            results[name] = evaluate(predictor, truth, tasks=truth.tasks, selection=_selection(data))
        values: dict[str, list[float]] = {}
        for result in results.values():
            for name, value in result.summary().items():
                values.setdefault(name, []).append(value)
        metrics = {name: _mean(found) for name, found in values.items()}
        protocol = {name: dict(result.protocol) for name, result in results.items()}
        if len(results) > 1:
            for name, result in results.items():
                found = result.summary().items()
                protocol[name]['metrics'] = {key: round(value, 4) for key, value in found if not np.isnan(value)}
        return metrics, protocol

    def pictures(self, network: nn.Module) -> list[np.ndarray]:
        """uint8 H,W,3 each: some images of the first validation set, with what the network sees in them."""
        predictor = self._predictor(network, self._card)
        dataset = self._sets[0][1]
        indices = np.linspace(0, len(dataset) - 1, min(PICTURES, len(dataset))).astype(int)
        pictures = []
        for index in indices:
            sample = dataset[int(index)]
            prediction = predictor(sample.image, sample.intrinsics)
            shown = [sample.image]
            if prediction.labels is not None:
                shown.append(overlay(sample.image, prediction.labels, self._space))
            if prediction.depth is not None:
                shown.append(colorize_depth(prediction.depth, *self._card.depth_range))
            pictures.append(side_by_side(*shown))
        return pictures

    def _predictor(self, network: nn.Module, card: ModelCard) -> BackendPredictor:
        return BackendPredictor(card, self._space, NetworkBackend(network, card, self._device))


def _mean(values: list[float]) -> float:
    """Mean of the values that are not NaN: a metric over nothing is NaN."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float('nan')


def _selection(data: DataConfig) -> dict[str, Any]:
    return {'data set': data.dataset, 'split': data.split, 'part': data.part, 'folds': list(data.folds)}


def _name(data: DataConfig) -> str:
    """With its folder's name, not its place: this goes into the card."""
    return ' '.join(map(str, (Path(data.root).name, *_selection(data).values())))


def _numbered(names: list[str]) -> list[str]:
    """Names of which those that occur more than once have a number behind them."""
    return [
        f'{name} ({names[: index + 1].count(name)})' if names.count(name) > 1 else name
        for index, name in enumerate(names)
    ]

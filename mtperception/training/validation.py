"""How good the network in training is: measured by `mtperception.evaluation`, as a model would be."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mtperception.backends.torch_backend import NetworkBackend
from mtperception.card import ModelCard, TrainingCamera
from mtperception.data import Dataset, open_dataset
from mtperception.evaluation.evaluate import evaluate
from mtperception.predictor import BackendPredictor
from mtperception.training.config import DataConfig, TrainConfig
from mtperception.training.examples import select
from mtperception.visualization import colorize_depth, overlay, side_by_side

LARGER_IS_BETTER = {'miou', 'pixel_accuracy', 'mean_accuracy', 'delta1', 'delta2', 'delta3'}
LARGER_IS_BETTER |= {'within_11_25', 'within_22_5', 'within_30'}
PICTURES = 4


def is_better(metric: str, value: float, than: float) -> bool:
    """Whether a value of a metric is better than another: scores grow, errors shrink."""
    return value > than if metric in LARGER_IS_BETTER else value < than


def draft_card(config: TrainConfig, name: str) -> ModelCard:
    """What the configuration alone says of the model that comes out."""
    return ModelCard(
        name=name,
        network=config.network,
        num_classes=len(config.space),
        tasks=tuple(config.tasks),
        label_space=config.space.name,
        classes=(0, len(config.space)),
        depth_range=tuple(config.depth_range),
        camera=TrainingCamera(config.camera.fx, config.camera.width, config.camera.height),
    )


class Validator:
    """The data sets to validate on. False if there are none.

    Raises:
        DatasetError: if one cannot be opened.
    """

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self._card = draft_card(config, 'in training')
        self._space = config.space
        self._device = str(device)
        self._sets = [(data, _open(data)) for data in config.validation]

    def __bool__(self) -> bool:
        """Whether there is anything to validate on."""
        return bool(self._sets)

    def measure(self, network: nn.Module) -> tuple[dict[str, float], dict[str, Any]]:
        """Evaluate a network on every validation set, in single precision.

        Returns:
            Metrics by name (with several sets, the mean of those that have it), and the protocol of each set.
        """
        predictor = self._predictor(network)
        results = {}
        for data, dataset in self._sets:
            selection = {'data set': data.dataset, 'split': data.split, 'part': data.part, 'folds': list(data.folds)}
            # Its folder's name, not its place: this goes into the card.
            name = ' '.join(map(str, (Path(data.root).name, *selection.values())))
            results[name] = evaluate(predictor, dataset, selection=selection)
        values: dict[str, list[float]] = {}
        for result in results.values():
            for name, value in result.summary().items():
                values.setdefault(name, []).append(value)
        metrics = {name: float(np.mean(found)) for name, found in values.items()}
        return metrics, {name: dict(result.protocol) for name, result in results.items()}

    def pictures(self, network: nn.Module) -> list[np.ndarray]:
        """uint8 H,W,3 each: some images of the first validation set, with what the network sees in them."""
        predictor = self._predictor(network)
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

    def _predictor(self, network: nn.Module) -> BackendPredictor:
        return BackendPredictor(self._card, self._space, NetworkBackend(network, self._card, self._device))


def _open(data: DataConfig) -> Dataset:
    return select(open_dataset(data.dataset, data.root, data.split), data)

# SPDX-License-Identifier: Apache-2.0
"""Temperature scaling: one number that makes the confidence of a trained network what it claims to be.

Source: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, On Calibration of Modern Neural Networks, ICML 2017, section 4.2.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import nn

from mtperception.card import MAX_TEMPERATURE, MIN_TEMPERATURE, ModelCard
from mtperception.data import Dataset
from mtperception.errors import MTPerceptionError
from mtperception.evaluation.comparison import map_labels
from mtperception.evaluation.grouped_truth import GroupedTruth
from mtperception.input_policy import Layout, resize_nearest
from mtperception.labels import IGNORE_INDEX, LabelSpace, load_label_space
from mtperception.pipeline import normalize

MAX_SAMPLES = 400_000
"""Pixels that the temperature is fitted to, drawn evenly from all images."""
HALVINGS = 40


class CalibrationError(MTPerceptionError, ValueError):
    """Images that no temperature can be fitted to."""


def fit_temperature(network: nn.Module, card: ModelCard, datasets: Sequence[Dataset]) -> float:
    """The temperature at which the labels of held-back images are most likely, where the softmax is: at the network's
    output resolution.

    Args:
        network: the one that the card names, with its weights.
        card: says how it sees images and among which classes it chooses.
        datasets: held-back images with labels of the card's label space, finer ones, or ones of the same names.

    Raises:
        CalibrationError: if the network or the images have no labels or coarser ones, or the likeliest temperature is
            outside of `card.MIN_TEMPERATURE` to `MAX_TEMPERATURE`, as it is if the network is always right.
        DatasetError: if an image cannot be read.
        ValueError: if label spaces cannot be compared.
    """
    if 'segmentation' not in card.tasks:
        raise CalibrationError(f'model {card.name} gives no labels: the temperature scales the confidence of labels')
    datasets = [dataset for dataset in datasets if dataset.label_space]
    each = max(1, MAX_SAMPLES // max(1, sum(map(len, datasets))))
    rng = np.random.default_rng(0)
    space = load_label_space(card.label_space)
    pairs = [pair for dataset in datasets for pair in _pixels(network.eval(), card, space, dataset, each, rng)]
    if not sum(len(truth) for _, truth in pairs):
        raise CalibrationError('no labelled pixel in the images to calibrate on: expected images with labels')
    logits, truth = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return likeliest_temperature(logits, truth)


def likeliest_temperature(logits: torch.Tensor, truth: torch.Tensor) -> float:
    """The T at which the mean negative log-likelihood of softmax(logits / T) is smallest.

    It is convex in 1 / T; the zero of its derivative is found by halving the interval of log(1 / T).

    Args:
        logits: float32 N,C.
        truth: int64 N, classes.

    Raises:
        CalibrationError: if T is outside of `card.MIN_TEMPERATURE` to `MAX_TEMPERATURE`.
    """
    low, high = -math.log(MAX_TEMPERATURE), -math.log(MIN_TEMPERATURE)
    if not _slope(logits, truth, math.exp(low)) < 0 < _slope(logits, truth, math.exp(high)):
        raise CalibrationError(
            f'the likeliest temperature of {len(truth)} labelled pixels is not between {MIN_TEMPERATURE:g} and '
            f'{MAX_TEMPERATURE:g}: expected images that were not used for training, '
            'and some errors on them'
        )
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _slope(logits, truth, math.exp(middle)) < 0 else (low, middle)
    return math.exp(-(low + high) / 2)


def _slope(logits: torch.Tensor, truth: torch.Tensor, sharpness: float) -> float:
    """Derivative of the mean negative log-likelihood by 1 / T: expected logit less that of the true class."""
    expected = ((logits * sharpness).softmax(dim=1) * logits).sum(dim=1)
    return float((expected - logits.gather(1, truth[:, None])[:, 0]).double().mean())


@torch.inference_mode()
def _pixels(
    network: nn.Module, card: ModelCard, space: LabelSpace, dataset: Dataset, each: int, rng: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """For each image with labels: logits n,C of the classes to choose from, and the true class among them, n."""
    first, end = card.classes
    images = GroupedTruth(dataset, space)
    table = _classes(space, load_label_space(images.label_space), card.classes)
    for index in range(len(images)):
        sample = images[index]
        if sample.labels is None:
            continue
        layout = card.input.layout(sample.image.shape[1], sample.image.shape[0])
        tiles = np.empty((layout.count, layout.tile[1], layout.tile[0], 3), np.uint8)
        layout.write_tiles(sample.image, tiles)
        found = network(normalize(torch.from_numpy(tiles)))['segmentation'][:, first:end].float()
        truth = _truth_tiles(table[sample.labels], layout, (found.shape[3], found.shape[2]))
        known = np.flatnonzero(truth != IGNORE_INDEX)
        chosen = rng.choice(known, min(each, len(known)), replace=False)
        flat = found.permute(0, 2, 3, 1).reshape(-1, end - first)
        yield flat[torch.from_numpy(chosen)], torch.from_numpy(truth.ravel()[chosen].astype(np.int64) - first)


def _classes(model: LabelSpace, truth: LabelSpace, classes: tuple[int, int]) -> np.ndarray:
    """uint8 256: the model's class by class of the truth, by name; 255 for what the model does not choose among."""
    if truth.name in model.groupings:
        raise CalibrationError(
            f'labels of {truth.name} are groups of classes of {model.name}: they do not say which class is right; '
            f'expected labels of {model.name} or finer ones'
        )
    if truth.names != model.names:
        map_labels(model, classes, truth)  # raises what users need to know
    table = truth.by_name(model)
    first, end = classes
    return np.where((table >= first) & (table < end), table, IGNORE_INDEX).astype(np.uint8)


def _truth_tiles(labels: np.ndarray, layout: Layout, size: tuple[int, int]) -> np.ndarray:
    """uint8 count,h,w: labels as the network sees the image, at the size of its output; the nearest pixel's."""
    plane = resize_nearest(labels, layout.plane)
    tiles = np.full((layout.count, *layout.tile[::-1]), IGNORE_INDEX, np.uint8)
    for part, tile in zip(layout.parts(plane), tiles, strict=True):
        tile[: part.shape[0], : part.shape[1]] = part
    return np.stack([resize_nearest(tile, size) for tile in tiles])

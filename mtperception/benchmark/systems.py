# SPDX-License-Identifier: Apache-2.0
"""What several models cost, each on images as it sees them: size, work, and times that were taken in turns."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from mtperception.backends import BACKENDS
from mtperception.benchmark.reference import forward, network_alone
from mtperception.benchmark.timing import Budget, Latency, measure
from mtperception.input_policy import Size
from mtperception.networks import create_network
from mtperception.predictor import Predictor, predict_all


@dataclass(frozen=True)
class SystemCost:
    """One model on frames of one size."""

    parameters: int
    gflops: float
    """For a frame with all its tiles: convolutions and matrix products; a multiply-add counts as two."""
    forward: Latency
    """The network alone, for a frame, by the predictor's own library."""
    frame: Latency
    """From the frame's bytes to all maps at its size."""
    ratio: float
    """The median of `frame` over that of the first model: how many times slower."""


def count_costs(
    name: str, num_classes: int, tasks: Sequence[str], size: Size, options: Mapping[str, Any]
) -> tuple[int, float]:
    """Parameters of a network, and GFLOPs of one pass over an image of this size; nothing is computed.

    Args:
        name: a key of `NETWORKS`.
        num_classes: of segmentation; 0 without.
        tasks: of the network.
        size: width and height of what it sees.
        options: of the network.
    """
    with torch.device('meta'), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network = create_network(name, num_classes, tasks, **options).eval()
        network(torch.zeros(1, 3, *reversed(size)))
    return sum(x.numel() for x in network.parameters()), counter.get_total_flops() / 1e9


def measure_systems(predictors: Sequence[Predictor], frame: np.ndarray, budget: Budget) -> list[SystemCost]:
    """Measure models in turns, so that whatever else the machine does disturbs all of them alike.

    Args:
        predictors: the first is what the others are compared with.
        frame: uint8 H,W,3: each model sees it by its own input policy.
        budget: how long all of them are measured.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix='mtperception-')))
        functions = {}
        for index, predictor in enumerate(predictors):
            (folder / str(index)).mkdir()
            functions[f'{index} forward'] = _forward(predictor, frame, folder / str(index), stack)
            functions[f'{index} frame'] = partial(predict_all, predictor, frame)
        times = measure(functions, budget)
    first = times['0 frame'].median_ms
    costs = []
    for index, predictor in enumerate(predictors):
        whole = times[f'{index} frame']
        costs.append(SystemCost(*_size(predictor, frame), times[f'{index} forward'], whole, whole.median_ms / first))
    return costs


def _size(predictor: Predictor, frame: np.ndarray) -> tuple[int, float]:
    card = predictor.card
    layout = predictor.input_policy.layout(frame.shape[1], frame.shape[0])
    parameters, gflops = count_costs(card.network, card.num_classes, card.tasks, layout.tile, card.network_options)
    return parameters, gflops * layout.count


def _forward(predictor: Predictor, frame: np.ndarray, folder: Path, stack: ExitStack) -> Callable[[], object]:
    """Runs the network alone on each of the parts that it sees of a frame."""
    layout = predictor.input_policy.layout(frame.shape[1], frame.shape[0])
    tiles = np.empty((layout.count, layout.tile[1], layout.tile[0], 3), np.uint8)
    layout.write_tiles(frame, tiles)
    backend = predictor.backend
    if backend.name == 'torch':
        runs = [forward(predictor.model, backend.device, backend.precision, tile[None]) for tile in tiles]
        return lambda: [run() for run in runs]
    alone = BACKENDS[backend.name](network_alone(predictor.model, folder), backend.device, backend.precision)
    stack.enter_context(closing(alone))
    return lambda: [alone.run(tile[None]) for tile in tiles]

# SPDX-License-Identifier: Apache-2.0
"""Write a model directory: weights, ONNX graph, self-test and card, with proof that the graph equals PyTorch."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from mtperception.atomic_write import atomic_folder
from mtperception.backends.onnxruntime_backend import OnnxRuntimeBackend
from mtperception.card import (
    CARD,
    FILES_OF_A_MODEL,
    GRAPH,
    SELF_TEST,
    WEIGHTS,
    ModelCard,
    ModelDirectory,
    open_model,
    sha256,
)
from mtperception.errors import OccupiedError
from mtperception.half_constants import halve_constants
from mtperception.networks.half_weights import fits, round_weights
from mtperception.networks.inference import for_export
from mtperception.parity import Parity as Parity
from mtperception.parity import ParityError as ParityError
from mtperception.parity import check_usable
from mtperception.pipeline import Pipeline, normalize
from mtperception.selftest import write_self_test
from mtperception.synthetic import SyntheticRoom
from mtperception.tasks import graph_outputs

OPSET = 18


def export_model(network: nn.Module, card: ModelCard, out: Path, *, half: bool = False) -> Parity:
    """Write `out` as a model directory, whole or not at all.

    Args:
        network: the network that the card names, with its weights.
        card: what to say of it; the sha256 sums are filled in.
        out: the directory to write; an earlier model in it is replaced.
        half: round the weights to float16 and keep them so in the files; the model computes as before, in float32.

    Returns:
        How well the graph in ONNX Runtime agrees with PyTorch, at fp32, batches of 1 and 2, odd sizes too.

    Raises:
        ParityError: if they agree less than an exported graph must; `out` is left as it was.
        OccupiedError: if `out` exists and is not a model directory.
        InputError: if it is one that holds other files as well.
        WriteError: if it cannot be written; an earlier model stays.
    """
    check_place(out)
    with atomic_folder(out, FILES_OF_A_MODEL) as written:
        return _write(round_weights(network.float()) if half else network, card, written, half)


def check_place(out: Path) -> None:
    """Check that a model can be written there, as far as that is known before; raises OccupiedError."""
    if out.exists() and not (out / CARD).is_file():
        raise OccupiedError(f'{out}: exists and is not a model directory: choose another place')


def _write(network: nn.Module, card: ModelCard, folder: Path, half: bool) -> Parity:
    pipeline = Pipeline.of(network.float().cpu(), card)
    image = SyntheticRoom(*card.input.size, card.camera.fx).frame(0.0).image
    maps = run_pytorch(pipeline, image[None])
    check_usable(maps, maps)  # before the time that making a graph takes
    write_self_test(folder / SELF_TEST, image, {name: map_[0] for name, map_ in maps.items()})
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    if half:
        weights = {name: value.half() if fits(value) else value for name, value in weights.items()}
    (folder / WEIGHTS).write_bytes(save(weights))
    export_graph(pipeline, card.tasks, folder / GRAPH)
    if half:
        halve_constants(folder / GRAPH)
    sums = {name: sha256(folder / name) for name in (WEIGHTS, GRAPH, SELF_TEST)}
    replace(card, sha256=sums).write(folder / CARD)
    return check_parity(pipeline, open_model(folder))


def export_graph(pipeline: Pipeline, tasks: Sequence[str], path: Path) -> None:
    """Write the ONNX graph of a pipeline; batch, height and width stay free (dimensions N, H, W).

    Its outputs are in the order of the table of tasks, whatever that of `tasks` is.
    """
    names = [output.name for output in graph_outputs(tasks)]
    fast = pipeline.around(for_export(pipeline.network))
    _export(fast, names, path)


def export_network(network: nn.Module, tasks: Sequence[str], path: Path) -> None:
    """Write the ONNX graph of normalisation and network alone, to measure what the rest of the pipeline costs.

    Its input is that of the whole graph; its outputs are the raw head outputs, by task.
    """
    _export(_NetworkAlone(for_export(network)).eval(), list(tasks), path)


class _NetworkAlone(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.network(normalize(image))


def _export(module: nn.Module, outputs: Sequence[str], path: Path) -> None:
    """Write the ONNX graph of a module that maps uint8 N,H,W,3 to a dict, of which these are the graph's outputs."""
    with _quiet():
        program = torch.onnx.export(
            _InOrder(module, outputs).eval(),
            (torch.zeros((2, 97, 131, 3), dtype=torch.uint8),),
            dynamo=True,
            input_names=['image'],
            output_names=list(outputs),
            dynamic_shapes={'image': {0: 'N', 1: 'H', 2: 'W'}},
            opset_version=OPSET,
            verbose=False,
        )
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # where the line that made it is on the machine of whoever exports
    program.save(path, external_data=False)


class _InOrder(nn.Module):
    """The exporter names outputs by their position: here they get it by their name."""

    def __init__(self, module: nn.Module, outputs: Sequence[str]) -> None:
        super().__init__()
        self.module = module
        self.outputs = tuple(outputs)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        maps = self.module(image)
        return tuple(maps[name] for name in self.outputs)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes on its own progress out of the user's terminal."""
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in ('torch.onnx', 'onnx_ir')}
    for logger in levels:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in levels.items():
            logger.setLevel(level)


@torch.inference_mode()
def run_pytorch(pipeline: Pipeline, images: np.ndarray) -> Mapping[str, np.ndarray]:
    """Run a pipeline on uint8 N,H,W,3; the graph's outputs by name."""
    return {name: value.numpy() for name, value in pipeline(torch.tensor(images)).items()}


def check_parity(pipeline: Pipeline, model: ModelDirectory, images: Iterable[np.ndarray] = ()) -> Parity:
    """Compare the exported graph in ONNX Runtime with PyTorch at fp32: rendered images, and others.

    Args:
        pipeline: what was exported.
        model: the graph's directory.
        images: uint8 H,W,3: others, compared one by one, and two of the same size in a batch.

    Raises:
        ParityError: if it differs by more than the rounding of the network explains.
    """
    backend = OnnxRuntimeBackend(model, 'cpu', 'fp32')
    double = pipeline.around(deepcopy(pipeline.network).double())
    parity = Parity()
    images = list(images)
    pairs = [np.stack(pair) for pair in pairwise(images) if pair[0].shape == pair[1].shape][:1]
    for batch in (*_own_batches(), *(image[None] for image in images), *pairs):
        parity = parity.add(backend.run(batch), run_pytorch(pipeline, batch), run_pytorch(double, batch))
    parity.check()
    return parity


def _own_batches() -> Iterable[np.ndarray]:
    """Rendered batches of 1 and 2 images, of even and odd sizes."""
    for count, width, height in ((1, 320, 240), (2, 320, 240), (1, 201, 151), (2, 97, 131)):
        room = SyntheticRoom(width, height, 0.8 * width)
        yield np.stack([room.frame(3.0 * i + 1).image for i in range(count)])

# SPDX-License-Identifier: Apache-2.0
"""The same network in PyTorch: the baseline to beat, the outputs to reproduce, and the network alone. Imports torch."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mtperception.backends.cuda.runner import CudaQueue, full_precision
from mtperception.backends.torch_backend import for_device
from mtperception.card import GRAPH, ModelDirectory, sha256
from mtperception.export import export_network, run_pytorch
from mtperception.networks import load_network
from mtperception.pipeline import Pipeline, normalize


class Forward:
    """The network alone, eager; the normalised images are on its device already, and the raw outputs stay there.

    Args:
        network: of any precision, on any device.
        images: uint8 N,H,W,3.
        memory_format: of the images.
    """

    def __init__(self, network: nn.Module, images: np.ndarray, memory_format: torch.memory_format) -> None:
        weight = next(network.parameters())
        self.device = weight.device
        self._network = network
        self._images = normalize(torch.tensor(images)).to(weight).contiguous(memory_format=memory_format)

    @torch.inference_mode()
    def queue(self) -> None:
        """Run once; on a GPU, only queue it."""
        with full_precision():
            self._network(self._images)

    def __call__(self) -> None:
        """Run once, to the end."""
        self.queue()
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)


class CapturedForward:
    """`Forward` on a GPU as a CUDA graph."""

    def __init__(self, forward: Forward) -> None:
        self._queue = CudaQueue(forward.device)
        self._forward = forward  # the graph reads its memory
        self._launch = self._queue.capture(forward.queue)

    def __call__(self) -> None:
        """Run once, to the end."""
        with self._queue.exclusive():
            self._launch()
            self._queue.stream.synchronize()


def has_device(device: str) -> bool:
    """Whether this PyTorch can run on 'cpu' or 'cuda:N'."""
    return device == 'cpu' or torch.cuda.is_available()


def baseline(model: ModelDirectory, device: str, images: np.ndarray) -> Forward:
    """As the published code runs it: eager, fp32, contiguous NCHW, the forward pass only."""
    return Forward(load_network(model.path).to(device), images, torch.contiguous_format)


def forward(model: ModelDirectory, device: str, precision: str, images: np.ndarray) -> Forward | CapturedForward:
    """As the torch backend runs it."""
    network = for_device(load_network(model.path), torch.device(device), precision)
    eager = Forward(network, images, torch.channels_last)
    return eager if device == 'cpu' else CapturedForward(eager)


def reference_maps(model: ModelDirectory, images: np.ndarray) -> Mapping[str, np.ndarray]:
    """The maps of the model by PyTorch on the CPU in fp32, which every way to run it has to give."""
    card = model.card
    pipeline = Pipeline.of(load_network(model.path), card)
    return run_pytorch(pipeline, images)


def network_alone(model: ModelDirectory, folder: Path) -> ModelDirectory:
    """Export the network of a model without upsampling and what follows it, as a graph that backends can run.

    Args:
        model: whose network.
        folder: an empty one, where the graph is written.
    """
    export_network(load_network(model.path), model.card.tasks, folder / GRAPH)
    card = replace(model.card, sha256={GRAPH: sha256(folder / GRAPH)})
    return ModelDirectory(folder, card)

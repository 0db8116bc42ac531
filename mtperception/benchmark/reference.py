"""The same network in PyTorch: the baseline to beat, the outputs to reproduce, and the network alone. Imports torch."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mtperception.backends.torch_backend import DTYPES
from mtperception.card import GRAPH, ModelDirectory, sha256
from mtperception.export import export_network, run_pytorch
from mtperception.networks import load_network
from mtperception.pipeline import Pipeline, normalize


class Forward:
    """The network alone, eager; the normalised images are on the device already, and the raw outputs stay there.

    Args:
        model: whose network.
        device: 'cpu' or 'cuda:N'.
        precision: of weights and images.
        images: uint8 N,H,W,3.
        memory_format: of weights and images.
    """

    def __init__(
        self,
        model: ModelDirectory,
        device: str,
        precision: str,
        images: np.ndarray,
        memory_format: torch.memory_format,
    ) -> None:
        self._device = torch.device(device)
        self._network = load_network(model.path).to(self._device, DTYPES[precision], memory_format=memory_format)
        normalized = normalize(torch.tensor(images)).to(self._device, DTYPES[precision])
        self._images = normalized.contiguous(memory_format=memory_format)

    @torch.inference_mode()
    def __call__(self) -> None:
        """Run once, to the end."""
        with torch.backends.cudnn.flags(allow_tf32=False):  # fp32 is fp32
            self._network(self._images)
        if self._device.type == 'cuda':
            torch.cuda.synchronize(self._device)


def has_device(device: str) -> bool:
    """Whether this PyTorch can run on 'cpu' or 'cuda:N'."""
    return device == 'cpu' or torch.cuda.is_available()


def baseline(model: ModelDirectory, device: str, images: np.ndarray) -> Forward:
    """As the published code runs it: eager, fp32, contiguous NCHW, the forward pass only."""
    return Forward(model, device, 'fp32', images, torch.contiguous_format)


def forward(model: ModelDirectory, device: str, precision: str, images: np.ndarray) -> Forward:
    """As the torch backend runs it."""
    return Forward(model, device, precision, images, torch.channels_last)


def reference_maps(model: ModelDirectory, images: np.ndarray) -> Mapping[str, np.ndarray]:
    """The maps of the model by PyTorch on the CPU in fp32, which every way to run it has to give."""
    pipeline = Pipeline(load_network(model.path), model.card.depth_range, model.card.classes).eval()
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

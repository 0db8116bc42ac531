# SPDX-License-Identifier: Apache-2.0
"""From a network to the graph that is exported: RGB bytes in, finished maps of the same size out.

Everything between the bytes of an image and the maps that a robot uses is here and nowhere else, so that every backend,
and a C++ user of the ONNX file, gets identical results.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from mtperception import imagenet
from mtperception.card import ModelCard
from mtperception.tasks import in_order
from mtperception.upsampling import upsample, upsampled_argmax

TOLERANCE = 0.025
"""Error that the confidence of depth refers to, as a share of the largest depth."""

Statistics = tuple[torch.Tensor, torch.Tensor]


def byte_statistics(device: torch.device) -> Statistics:
    """ImageNet's mean and standard deviation of each channel, of bytes: float32 3,1,1 each."""
    mean, std = (torch.tensor(values, device=device)[:, None, None] * 255 for values in (imagenet.MEAN, imagenet.STD))
    return mean, std


def normalize(image: torch.Tensor, statistics: Statistics | None = None) -> torch.Tensor:
    """Map RGB uint8 N,H,W,3 to the ImageNet-normalised float32 N,3,H,W that networks take.

    Args:
        image: the bytes.
        statistics: `byte_statistics` of the image's device, for those who have them there already.
    """
    mean, std = statistics or byte_statistics(image.device)
    # Bytes are moved, not floats; and what is then done by channel runs over whole planes.
    return (image.permute(0, 3, 1, 2).to(torch.float32) - mean) / std


class Pipeline(nn.Module):
    """A network with its pre- and post-processing.

    The steps are methods of their own, so that a device can have one done by other operations to the same result.

    Args:
        network: maps normalised float32 N,3,H,W to a dict of raw head outputs.
        depth_range: smallest and largest depth in metres; outputs are clamped to it.
        classes: first class and end of the slice of the network's classes among which labels are chosen; an end of None
            is the last class.
        temperature: logits are divided by it before the softmax that the confidence is taken of (temperature scaling:
            C. Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2). Labels do not depend
            on it.
    """

    def __init__(
        self,
        network: nn.Module,
        depth_range: tuple[float, float],
        classes: tuple[int, int | None] = (0, None),
        temperature: float = 1.0,
    ) -> None:
        super().__init__()
        self.network = network
        self.depth_range = depth_range
        self.classes = classes
        self.temperature = temperature

    @classmethod
    def of(cls, network: nn.Module, card: ModelCard) -> 'Pipeline':
        """That of a model, in evaluation mode."""
        return cls(network, card.depth_range, card.classes, card.temperature).eval()

    def around(self, network: nn.Module) -> 'Pipeline':
        """The same steps around another form of the network, in evaluation mode."""
        return Pipeline(network, self.depth_range, self.classes, self.temperature).eval()

    def forward(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        """Map uint8 N,H,W,3 (RGB, any H and W) to the maps of the tasks that the network has, in the table's order.

        Outputs of the network that are of no task are left out.

        Returns:
            `labels` uint8 N,H,W (logits are upsampled before the argmax), `confidence` uint8 N,H,W (largest softmax
            probability at the network's output resolution, upsampled, 0..255), `depth` float32 N,H,W in metres inside
            `depth_range`, `normals` float32 N,H,W,3 unit vectors, `depth_confidence` uint8 N,H,W
            (`make_depth_confidence`).
        """
        dtype = next(self.network.parameters()).dtype
        raw = self.network(self.normalize(image).to(dtype))
        size = image.shape[1:3]
        maps: dict[str, torch.Tensor] = {}
        for task in in_order(raw):
            finished = FINISHES[task.finish](self, raw[task.name], size)
            maps |= {output.name: map_ for output, map_ in zip(task.outputs, finished, strict=True)}
        return maps

    def normalize(self, image: torch.Tensor) -> torch.Tensor:
        """Map uint8 N,H,W,3 to normalised float32 N,3,H,W."""
        return normalize(image)

    def make_labels(self, logits: torch.Tensor, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Map the logits N,C,h,w of the classes to choose from to labels and confidence, uint8 N,H,W each."""
        logits = logits.float()
        labels = self.argmax(logits, size) + self.classes[0]
        # The largest of a softmax is one over the sum of these: no map of probabilities is made for each class.
        below_largest = logits - logits.amax(dim=1, keepdim=True)
        if self.temperature != 1:  # a graph without it is the one that models had before there was one
            below_largest = below_largest / self.temperature
        largest = 1 / below_largest.exp().sum(dim=1)
        confidence = self.upsample(largest[:, None], size)[:, 0]
        # TensorRT converts uint8 only from and to floats; both are.
        return labels.to(torch.uint8), (confidence * 255).round().to(torch.uint8)

    def upsample(self, x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Bilinear upsampling of a few maps, float32 N,C,h,w to N,C,H,W."""
        return upsample(x, size)

    def argmax(self, logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Index of the largest upsampled logit, N,C,h,w to N,H,W."""
        return upsampled_argmax(logits, size)

    def make_depth(self, raw: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Map the raw output N,1,h,w to metres, float32 N,H,W."""
        # The network's output is signed; the published post-processing takes its absolute value.
        return self.upsample(raw.float(), size)[:, 0].abs().clamp(*self.depth_range)

    def make_depth_confidence(self, log_scale: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Map the logarithm N,1,h,w of the expected error b in metres to confidence, uint8 N,H,W.

        It is the probability, 0..255, that depth is off by less than t = `TOLERANCE` times the largest depth of the
        range: 1 - exp(-t / b), as errors of Laplace's distribution are. So b = -t / ln(1 - confidence / 255).
        """
        tolerance = TOLERANCE * self.depth_range[1]
        confidence = self.upsample(1 - (-tolerance * (-log_scale.float()).exp()).exp(), size)[:, 0]
        return (confidence * 255).round().to(torch.uint8)

    def make_directions(self, raw: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Map the raw output N,3,h,w to unit vectors, float32 N,H,W,3."""
        return functional.normalize(self.upsample(raw.float(), size), dim=1).permute(0, 2, 3, 1)


def _finish_classes(pipeline: Pipeline, raw: torch.Tensor, size: tuple[int, int]) -> Sequence[torch.Tensor]:
    first, end = pipeline.classes
    return pipeline.make_labels(raw[:, first:end], size)


def _finish_metres(pipeline: Pipeline, raw: torch.Tensor, size: tuple[int, int]) -> Sequence[torch.Tensor]:
    return (pipeline.make_depth(raw, size),)


def _finish_directions(pipeline: Pipeline, raw: torch.Tensor, size: tuple[int, int]) -> Sequence[torch.Tensor]:
    return (pipeline.make_directions(raw, size),)


def _finish_error_scale(pipeline: Pipeline, raw: torch.Tensor, size: tuple[int, int]) -> Sequence[torch.Tensor]:
    return (pipeline.make_depth_confidence(raw[:, :1], size),)


FINISHES: dict[str, Callable[[Pipeline, torch.Tensor, tuple[int, int]], Sequence[torch.Tensor]]] = {
    'classes': _finish_classes,
    'metres': _finish_metres,
    'directions': _finish_directions,
    'error_scale': _finish_error_scale,
}
"""From a raw output and the size of the image to the graph's outputs of a task (`tasks.Task.finish`), in order."""

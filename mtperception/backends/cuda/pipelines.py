# SPDX-License-Identifier: Apache-2.0
"""`mtperception.pipeline.Pipeline` in operations that a CUDA graph can hold, with Triton's kernels where they run."""

import logging
import subprocess

import torch
from torch import nn

from mtperception.errors import MTPerceptionError
from mtperception.pipeline import Pipeline, byte_statistics, normalize
from mtperception.upsampling import interpolate, running_argmax

_log = logging.getLogger(__name__)


class CapturablePipeline(Pipeline):
    """A pipeline whose steps neither depend on the values in them nor copy from the host.

    Args:
        network: on the device where the images will be.
        depth_range: as `Pipeline` has it.
        classes: as `Pipeline` has it.
        temperature: as `Pipeline` has it.
    """

    def __init__(
        self,
        network: nn.Module,
        depth_range: tuple[float, float],
        classes: tuple[int, int | None] = (0, None),
        temperature: float = 1.0,
    ) -> None:
        super().__init__(network, depth_range, classes, temperature)
        self._statistics = byte_statistics(next(network.parameters()).device)

    def normalize(self, image: torch.Tensor) -> torch.Tensor:
        """Map uint8 N,H,W,3 to normalised float32 N,3,H,W."""
        return normalize(image, self._statistics)

    def upsample(self, x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Bilinear upsampling, float32 N,C,h,w to N,C,H,W."""
        return interpolate(x, size)

    def argmax(self, logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Index of the largest upsampled logit, N,C,h,w to N,H,W."""
        return running_argmax(logits, size)


class FusedPipeline(CapturablePipeline):
    """Makes each map in one Triton kernel, of raw outputs in the network's precision.

    Raises:
        ImportError: without Triton.
    """

    def __init__(
        self,
        network: nn.Module,
        depth_range: tuple[float, float],
        classes: tuple[int, int | None] = (0, None),
        temperature: float = 1.0,
    ) -> None:
        from mtperception.backends.cuda import kernels

        super().__init__(network, depth_range, classes, temperature)
        self._kernels = kernels

    def make_labels(self, logits: torch.Tensor, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Map the logits N,C,h,w of the classes to choose from to labels and confidence, uint8 N,H,W each."""
        return self._kernels.labels_and_confidence(logits, size, self.classes[0], self.temperature)

    def make_depth(self, raw: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Map the raw output N,1,h,w to metres, float32 N,H,W."""
        return self._kernels.depth(raw, size, self.depth_range)


def fastest_pipeline(
    network: nn.Module, depth_range: tuple[float, float], classes: tuple[int, int | None], temperature: float = 1.0
) -> CapturablePipeline:
    """The fused pipeline where Triton is installed and can compile for the network's device; else the plain one.

    Triton needs a C compiler, Python's headers and a GPU of compute capability 7.0 or later. What is missing is said in
    one line of log.
    """
    weight = next(network.parameters())
    pipeline = CapturablePipeline
    try:
        _try_kernels(weight)
    except KernelsUnavailableError as error:
        _log.warning('running without Triton on %s, which is slower: %s', weight.device, error)
    else:
        pipeline = FusedPipeline
    return pipeline(network, depth_range, classes, temperature).eval()


class KernelsUnavailableError(MTPerceptionError, RuntimeError):
    """Triton's kernels cannot be compiled or run here."""


def _try_kernels(like: torch.Tensor) -> None:
    """Run each kernel once, on next to nothing of this type and device."""
    try:
        from triton.errors import TritonError

        from mtperception.backends.cuda import kernels
    except ImportError as error:
        raise KernelsUnavailableError(f'Triton is not installed ({error}): pip install triton') from error
    raw = like.new_zeros((1, 1, 2, 2))
    try:
        kernels.labels_and_confidence(raw, (3, 3), 0)
        kernels.depth(raw, (3, 3), (0.0, 1.0))
    # What it says of a compiler, headers or a driver that it does not find, or of a cache that may not be executed.
    except (
        TritonError,
        RuntimeError,
        OSError,
        ImportError,
        AssertionError,
        ValueError,
        subprocess.SubprocessError,
    ) as error:
        raise KernelsUnavailableError(f'{type(error).__name__}: {str(error).partition(chr(10))[0]}') from error

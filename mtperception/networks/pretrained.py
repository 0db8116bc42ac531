# SPDX-License-Identifier: Apache-2.0
"""Weights that others published, in torchvision's layouts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from mtperception.errors import InputError, MTPerceptionError

IMAGENET = 'imagenet'


class PretrainedError(MTPerceptionError, ValueError):
    """Published weights that are unavailable, unreadable, or of another network."""


def read_pretrained(source: str, imagenet: str) -> dict[str, torch.Tensor]:
    """The tensors of published weights.

    Args:
        source: 'imagenet', or the path of a .safetensors file.
        imagenet: torchvision's name of the ImageNet weights.

    Raises:
        PretrainedError: if they cannot be downloaded or read.
    """
    if source != IMAGENET:
        return read_tensors(Path(source).expanduser())
    from torchvision.models import get_weight  # of use in training alone

    try:
        return get_weight(imagenet).get_state_dict(progress=False, check_hash=True)
    except (URLError, OSError, RuntimeError) as error:
        raise PretrainedError(
            f"torchvision's {imagenet} cannot be downloaded ({getattr(error, 'reason', error)}): check the network, or "
            'give a .safetensors file in its layout instead of imagenet'
        ) from error


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors file; raises PretrainedError if it cannot be read."""
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise PretrainedError(f'{path}: expected a readable .safetensors file: {error}') from error


def published_tensor(
    state_dict: Mapping[str, torch.Tensor], name: str, shape: Sequence[int], network: str
) -> torch.Tensor:
    """A tensor of published weights.

    Raises:
        InputError: if it is missing or has another shape; the message names the network that was expected.
    """
    if name not in state_dict or state_dict[name].shape != shape:
        raise InputError(f"not {network} in torchvision's layout: no {name} {tuple(shape)}")
    return state_dict[name]

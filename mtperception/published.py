# SPDX-License-Identifier: Apache-2.0
"""Import the checkpoints that the authors of the networks published."""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mtperception.card import ModelCard, TrainingCamera
from mtperception.errors import CheckpointError, InputError
from mtperception.export import Parity, export_model
from mtperception.input_policy import InputPolicy
from mtperception.labels import load_label_space
from mtperception.networks import create_network, joint_lw_refinenet, multitasknet
from mtperception.networks.published_layout import PublishedLayout


@dataclass(frozen=True)
class TrainedOn:
    """What the images of a published network were."""

    camera: TrainingCamera
    depth_range: tuple[float, float]
    """Smallest and largest depth, metres."""
    input: InputPolicy | None = None
    """How it saw them; None: as the camera took them."""


@dataclass(frozen=True)
class Publication:
    """A network whose authors published how their checkpoints are laid out."""

    read: Callable[[Mapping[str, torch.Tensor]], PublishedLayout]
    label_spaces: Mapping[str, TrainedOn]
    """Those that its checkpoints were trained for."""
    slices: Mapping[tuple[str, int, int], TrainedOn] = field(default_factory=dict)
    """The same for the classes of one of several data sets: by label space, first class and end. They were trained on
    together, each with the depth of its own camera."""


# The colour camera of NYUv2 (Silberman et al., ECCV 2012) and, rounded, KITTI's left colour camera (Geiger et al., IJRR
# 2013): Nekrasov et al., ICRA 2019, section IV. MultitaskNet saw SUN RGB-D, from four cameras of about NYUv2's field of
# view, stretched to 224x224 (section 4.1).
_ROOM = TrainingCamera(518.86, 640, 480)
_STREET = TrainedOn(TrainingCamera(721.54, 1242, 375), (1.0, 80.0))
_SQUARE = TrainedOn(TrainingCamera(181.6, 224, 224, fy=242.4), (0.3, 10.0), InputPolicy('stretch', 224, 224))
PUBLICATIONS = {
    'joint_lw_refinenet': Publication(
        joint_lw_refinenet.read_published,
        {
            'nyuv2_40': TrainedOn(_ROOM, (0.3, 10.0)),
            'nyuv2_kitti_46': TrainedOn(_ROOM, (0.3, 80.0)),
            'kitti_6': _STREET,
        },
        {('nyuv2_kitti_46', 40, 46): _STREET},
    ),
    'multitasknet': Publication(multitasknet.read_published, {'sunrgbd_37': _SQUARE, 'nyuv2_40': _SQUARE}),
}
"""By the network's name."""


def import_checkpoint(
    checkpoint: Path,
    network: str,
    label_space: str,
    out: Path,
    classes: tuple[int, int] | None = None,
    training: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
) -> Parity:
    """Turn a published checkpoint into a model directory.

    Tasks and class count are read from the file and checked against the label space.

    Args:
        checkpoint: a file of `torch.save({'state_dict': ...})`; only tensors are loaded from it.
        network: a key of `PUBLICATIONS`.
        label_space: the name of the label space that its segmentation head was trained for.
        out: the model directory to write.
        classes: first class and end of the slice of the label space to choose among; None is all of it.
        training: data and licence, for the card; None: as the file's name tells.
        options: of `create_network`, where the network is not the published one but a variant of it.

    Raises:
        ValueError: for a network or label space that there is no published checkpoint of, or a slice outside it.
        CheckpointError: if the file is not such a checkpoint, or its class count is another.
        ParityError: if the exported graph does not reproduce it.
    """
    if network not in PUBLICATIONS:
        raise InputError(f'no importer for network {network!r}: expected one of {", ".join(PUBLICATIONS)}')
    known, slices = PUBLICATIONS[network].label_spaces, PUBLICATIONS[network].slices
    if label_space not in known:
        raise InputError(f'no published checkpoint for {label_space!r}: expected one of {", ".join(known)}')
    published = _read(checkpoint, network)
    space = load_label_space(label_space)
    trained = slices.get((label_space, *(classes or ())), known[label_space])
    if published.num_classes not in (0, len(space)):
        raise CheckpointError(f'{checkpoint}: {published.num_classes} classes, but {label_space} has {len(space)}')
    card = ModelCard(
        name=out.resolve().name,
        network=network,
        num_classes=published.num_classes,
        tasks=published.tasks,
        label_space=label_space,
        classes=classes or (0, published.num_classes),
        depth_range=trained.depth_range,
        camera=trained.camera,
        input=trained.input,
        network_options=options or {},
        training=training or {'source': f'imported from {checkpoint.name}', 'licence': 'as published with it'},
    )
    built = create_network(network, published.num_classes, published.tasks, **card.network_options)
    try:
        built.load_state_dict(published.state_dict)
    except RuntimeError as error:
        raise CheckpointError(f'{checkpoint}: not the weights of {network}: {error}') from error
    return export_model(built, card, out)


def _read(checkpoint: Path, network: str) -> PublishedLayout:
    if not checkpoint.is_file():
        raise CheckpointError(f'no checkpoint {checkpoint}: expected the path of a published .ckpt file')
    try:
        content = torch.load(checkpoint, map_location='cpu', weights_only=True)
        return PUBLICATIONS[network].read(content['state_dict'])
    except (RuntimeError, EOFError, KeyError, TypeError, AttributeError, ValueError, pickle.UnpicklingError) as error:
        # PyTorch's own reasons name options that are not ours, and advise to run what a stranger wrote.
        reason = f': {error}' if isinstance(error, ValueError) else ''
        raise CheckpointError(
            f"{checkpoint}: not a published checkpoint (expected a file of torch.save({{'state_dict': ...}})){reason}"
        ) from error

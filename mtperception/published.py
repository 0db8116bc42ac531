"""Import the checkpoints that the authors of the networks published."""

import pickle
from pathlib import Path

import torch

from mtperception.card import ModelCard, TrainingCamera
from mtperception.errors import CheckpointError, InputError
from mtperception.export import Parity, export_model
from mtperception.labels import load_label_space
from mtperception.networks import create_network, joint_lw_refinenet

READERS = {'joint_lw_refinenet': joint_lw_refinenet.read_published}

# What the published joint networks were trained on (Nekrasov et al., ICRA 2019, section IV): the colour camera of NYUv2
# (Silberman et al., ECCV 2012) and, rounded, KITTI's left colour camera (Geiger et al., IJRR 2013).
CAMERAS = {
    'nyuv2_40': TrainingCamera(518.86, 640, 480),
    'nyuv2_kitti_46': TrainingCamera(518.86, 640, 480),
    'kitti_6': TrainingCamera(721.54, 1242, 375),
}
DEPTH_RANGES = {'nyuv2_40': (0.3, 10.0), 'nyuv2_kitti_46': (0.3, 80.0), 'kitti_6': (1.0, 80.0)}


def import_checkpoint(
    checkpoint: Path, network: str, label_space: str, out: Path, classes: tuple[int, int] | None = None
) -> Parity:
    """Turn a published checkpoint into a model directory.

    Tasks and class count are read from the file and checked against the label space.

    Args:
        checkpoint: a file of `torch.save({'state_dict': ...})`; only tensors are loaded from it.
        network: a key of `READERS`.
        label_space: the name of the label space that its segmentation head was trained for.
        out: the model directory to write.
        classes: first class and end of the slice of the label space to choose among; None is all of it.

    Raises:
        ValueError: for a network or label space that there is no published checkpoint of, or a slice outside it.
        CheckpointError: if the file is not such a checkpoint, or its class count is another.
        ParityError: if the exported graph does not reproduce it.
    """
    if network not in READERS:
        raise InputError(f'no importer for network {network!r}: expected one of {", ".join(READERS)}')
    if label_space not in CAMERAS:
        raise InputError(f'no published checkpoint for {label_space!r}: expected one of {", ".join(CAMERAS)}')
    published = _read(checkpoint, network)
    space = load_label_space(label_space)
    if published.num_classes not in (0, len(space)):
        raise CheckpointError(f'{checkpoint}: {published.num_classes} classes, but {label_space} has {len(space)}')
    card = ModelCard(
        name=out.name,
        network=network,
        num_classes=published.num_classes,
        tasks=published.tasks,
        label_space=label_space,
        classes=classes or (0, published.num_classes),
        depth_range=DEPTH_RANGES[label_space],
        camera=CAMERAS[label_space],
        training={'source': f'imported from {checkpoint.name}', 'licence': 'as published with the checkpoint'},
    )
    built = create_network(network, published.num_classes, published.tasks)
    try:
        built.load_state_dict(published.state_dict)
    except RuntimeError as error:
        raise CheckpointError(f'{checkpoint}: not the weights of {network}: {error}') from error
    return export_model(built, card, out)


def _read(checkpoint: Path, network: str) -> joint_lw_refinenet.PublishedLayout:
    if not checkpoint.is_file():
        raise CheckpointError(f'no checkpoint {checkpoint}: expected the path of a published .ckpt file')
    try:
        content = torch.load(checkpoint, map_location='cpu', weights_only=True)
        return READERS[network](content['state_dict'])
    except (RuntimeError, EOFError, KeyError, TypeError, AttributeError, ValueError, pickle.UnpicklingError) as error:
        # PyTorch's own reasons name options that are not ours, and advise to run what a stranger wrote.
        reason = f': {error}' if isinstance(error, ValueError) else ''
        raise CheckpointError(
            f"{checkpoint}: not a published checkpoint (expected a file of torch.save({{'state_dict': ...}})){reason}"
        ) from error

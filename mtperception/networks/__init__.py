"""The networks: one file per encoder, one per paper. Importing this package imports torch."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from mtperception.card import ModelError, open_model
from mtperception.networks.joint_lw_refinenet import JointLWRefineNet

NETWORKS: dict[str, Callable[..., nn.Module]] = {
    'joint_lw_refinenet': JointLWRefineNet,
    # A teacher: twice the decoder's channels, and the full 1x1 convolutions at the finest resolution that the paper
    # gave up for speed.
    'joint_lw_refinenet_large': partial(JointLWRefineNet, channels=512, depthwise=False),
}


def create_network(name: str, num_classes: int, tasks: Sequence[str] = ('segmentation', 'depth')) -> nn.Module:
    """Build a network with fresh weights.

    Its forward takes float32 N,3,H,W, ImageNet-normalised, and returns a dict of raw head outputs: `segmentation`
    (N,C,h,w logits), `depth` (N,1,h,w, signed, metres), `normals` (N,3,h,w, not normalised).

    Raises:
        ValueError: if `name` is not one of `NETWORKS`.
    """
    if name not in NETWORKS:
        raise ValueError(f'unknown network {name!r}: expected one of {", ".join(NETWORKS)}')
    return NETWORKS[name](num_classes, tasks)


def load_network(model: str | Path) -> nn.Module:
    """The bare network of a model directory (or of the name of one), with its weights, in evaluation mode.

    Raises:
        ResourceNotFoundError: if there is no such model.
        ModelError: if its card or files are wrong, or the weights are not those of its network.
    """
    directory = open_model(model)
    card = directory.card
    network = create_network(card.network, card.num_classes, card.tasks)
    try:
        network.load_state_dict(load_file(directory.weights))
    except RuntimeError as error:
        raise ModelError(f'{directory.weights}: not the weights of {card.network}: {error}') from error
    return network.eval()

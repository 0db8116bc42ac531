# SPDX-License-Identifier: Apache-2.0
"""The networks: one file per encoder, one per paper. Importing this package imports torch."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file

from mtperception.bounded_read import shortened
from mtperception.card import ModelError, open_model
from mtperception.networks.hybridnet import HybridNet
from mtperception.networks.joint_lw_refinenet import JointLWRefineNet
from mtperception.networks.mt_unet import MTUNet
from mtperception.networks.mtl import MTL, MTLWithSelectiveWeights
from mtperception.networks.multitasknet import MultitaskNet
from mtperception.networks.network import Network, NetworkError
from mtperception.options import wrong_type

NETWORKS: dict[str, Callable[..., Network]] = {
    'joint_lw_refinenet': JointLWRefineNet,
    # A teacher: twice the decoder's channels, and the full 1x1 convolutions at the finest resolution that the paper
    # gave up for speed.
    'joint_lw_refinenet_large': partial(JointLWRefineNet, channels=512, depthwise=False),
    'multitasknet': MultitaskNet,
    'hybridnet': HybridNet,
    'mtl': MTL,
    'mtl_spp': partial(MTL, subnetwork='se', head='pyramid'),
    'mtl_ssw': partial(MTLWithSelectiveWeights, subnetwork='se', head='pyramid', selective_weights=True),
    'mt_unet': MTUNet,
}
"""A class, or one with some of its options chosen."""


def create_network(
    name: str, num_classes: int, tasks: Sequence[str] = ('segmentation', 'depth'), **options: Any
) -> Network:
    """Build a network with random weights.

    Its forward takes float32 N,3,H,W, ImageNet-normalised, and returns a dict of raw outputs: `segmentation` (N,C,h,w
    logits), `depth` (N,1,h,w, signed, metres), `depth_confidence` (N,2,h,w), `normals` (N,3,h,w, not normalised), and
    auxiliary ones in training.

    Args:
        name: a key of `NETWORKS`.
        num_classes: channels of segmentation; 0 without it.
        tasks: outputs to build.
        options: of that network, see its class.

    Raises:
        NetworkError: for a name that is not in `NETWORKS`, for options, types of options or tasks that the network does
            not take.
    """
    if name not in NETWORKS:
        raise NetworkError(f'unknown network {name!r}: expected one of {", ".join(NETWORKS)}')
    accepted = list(inspect.signature(NETWORKS[name]).parameters)[2:]
    unknown = [option for option in options if option not in accepted]
    if unknown:
        expected = ' or '.join(accepted) or 'none'
        raise NetworkError(f'network {name} has no option {", ".join(map(str, unknown))}: expected {expected}')
    wrong = wrong_type(NETWORKS[name], options)
    if wrong:
        raise NetworkError(f'network {name}: {wrong}')
    return NETWORKS[name](num_classes, tasks, **options)


def network_class(name: str) -> type[Network]:
    """The class behind a key of `NETWORKS`, which says what its networks can do."""
    entry = NETWORKS[name]
    return entry.func if isinstance(entry, partial) else entry


def load_network(model: str | Path) -> Network:
    """The bare network of a model directory (or of the name of one), with its weights, in evaluation mode.

    Raises:
        ResourceNotFoundError: if there is no such model.
        ModelError: if its card or files are wrong, or the weights are not those of its network.
    """
    directory = open_model(model)
    card = directory.card
    try:
        network = create_network(card.network, card.num_classes, card.tasks, **card.network_options)
        network.load_state_dict(load_file(directory.weights))
    except (NetworkError, TypeError) as error:
        raise ModelError(shortened(f'{directory.path}: {error}')) from error
    except (RuntimeError, SafetensorError) as error:
        reason = shortened(f'{directory.weights}: not the weights of {card.network}: {error}')
        raise ModelError(reason) from error
    return network.eval()

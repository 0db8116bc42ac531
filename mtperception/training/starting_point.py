"""The network that a run begins with."""

import logging
from pathlib import Path
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn
from torchvision.models import get_weight

from mtperception.card import CARD, open_model
from mtperception.networks import create_network
from mtperception.training.checkpoint import Checkpoint
from mtperception.training.config import ConfigError, TrainConfig

logger = logging.getLogger(__name__)


def build_network(config: TrainConfig) -> nn.Module:
    """The network of a configuration, with the weights to start from.

    Raises:
        ValueError: for an unknown network or task.
        ConfigError: if weights are missing, cannot be downloaded, or are those of another network.
    """
    network = create_network(config.network, len(config.space), config.tasks)
    if config.start:
        _start_from(network, [Path(path).expanduser() for path in config.start])
    elif config.encoder:
        _load_encoder(network, config.encoder)
        if 'depth' in config.tasks:
            # Else the first epochs are spent on learning that nothing is at 0 m.
            near, far = config.depth_range
            nn.init.constant_(network.heads['depth'].predict.bias, (near * far) ** 0.5)
    return network


def _load_encoder(network: nn.Module, source: str) -> None:
    encoder = network.encoder
    if source == 'imagenet':
        try:
            weights = get_weight(encoder.IMAGENET).get_state_dict(progress=False, check_hash=True)
        except (URLError, OSError, RuntimeError) as error:
            raise ConfigError(
                f"encoder: torchvision's {encoder.IMAGENET} cannot be downloaded ({error}): give a .safetensors file "
                'that holds them in its layout, encoder=FILE'
            ) from error
    else:
        weights = _read_tensors(Path(source).expanduser())
    try:
        encoder.load_torchvision(weights)
    except ValueError as error:
        raise ConfigError(f'encoder {source}: {error}') from error


def _start_from(network: nn.Module, paths: list[Path]) -> None:
    """Take over the mean of some weights, by name, but of heads for other classes."""
    own = network.state_dict()
    sources = [_fitting_weights(own, path) for path in paths]
    common = {name for name in own if all(name in weights for weights in sources)}
    fresh = sorted({name.split('.')[1] for name in own if name not in common})
    if fresh:
        logger.info('start %s: the heads for %s begin anew', ', '.join(map(str, paths)), ', '.join(fresh))
    means = {name: torch.stack([weights[name].to(own[name]) for weights in sources]) for name in common}
    mean = {name: x.mean(dim=0) if x.is_floating_point() else x[0] for name, x in means.items()}
    network.load_state_dict(own | mean)


def _fitting_weights(own: dict[str, torch.Tensor], path: Path) -> dict[str, torch.Tensor]:
    """The weights in a file that have the name and shape of a network's; raises ConfigError unless only heads lack."""
    weights = _trained_weights(path)
    fits = {name: x for name, x in weights.items() if name in own and own[name].shape == x.shape}
    wrong = [name for name in own if name not in fits and not name.startswith('heads.')]
    if wrong:
        raise ConfigError(f'start {path}: not the weights of this network: no fitting {wrong[0]}, {len(wrong)} in all')
    return fits


def _trained_weights(path: Path) -> dict[str, torch.Tensor]:
    """The averaged weights of a checkpoint, or those of a model directory."""
    if path.is_file():
        return Checkpoint.read(path).group('average')
    if not (path / CARD).is_file():
        raise ConfigError(f'start {path}: expected a checkpoint or a model directory')
    return _read_tensors(open_model(path).weights)


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f'{path}: expected a readable .safetensors file: {error}') from error

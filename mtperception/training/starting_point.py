# SPDX-License-Identifier: Apache-2.0
"""The network that a run begins with."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from omegaconf.errors import OmegaConfBaseException

from mtperception.card import CARD, ModelCard, open_model
from mtperception.errors import MTPerceptionError
from mtperception.networks import create_network
from mtperception.networks.half_weights import scales_are_moved
from mtperception.networks.network import ENCODER, Network
from mtperception.networks.pretrained import IMAGENET, PretrainedError, read_tensors
from mtperception.resources import ResourceNotFoundError, find
from mtperception.training.checkpoint import Checkpoint, is_checkpoint
from mtperception.training.config import WHOLE, ConfigError, TrainConfig
from mtperception.training.config_file import config_from_dict
from mtperception.training.meaning import CLASSES, check_same, draft_card, meaning

MEAN = 'mean of'
"""Before what cannot enter a mean, in messages."""
logger = logging.getLogger(__name__)


def build_network(config: TrainConfig) -> Network:
    """The network of a configuration, with the weights to start from.

    Raises:
        ValueError: for an unknown network, options or tasks.
        ConfigError: if weights are missing, cannot be downloaded, or are those of another network.
    """
    _refuse_rounded_models(config)
    network = new_network(config)
    if 'depth' in config.tasks:
        network.prepare_for_depth_range(*config.depth_range)
    if WHOLE in config.start:
        _start_whole(network, config, config.start[WHOLE])
        return network
    if config.encoder and ENCODER not in config.start:
        _load_published(network, ENCODER, config.encoder, 'encoder')
    for part, sources in config.start.items():
        _start_part(network, config, part, sources)
    return network


def card_of(source: str) -> ModelCard:
    """The card of a model, or what the configuration of a checkpoint says of the model that comes of it.

    Raises:
        ConfigError: for a checkpoint whose configuration this version does not read.
        ModelError: for a model that is not complete.
    """
    path = _place(source)
    if not path.is_file():
        return open_model(path).card
    content = Checkpoint.read(path).scalars
    try:
        return draft_card(config_from_dict(content['config']), source)
    except (KeyError, OmegaConfBaseException, MTPerceptionError) as error:
        raise ConfigError(
            f'{source}: what its outputs mean is not known: its configuration cannot be read: {error}: expected a '
            'checkpoint of this version, or a model that was exported from it'
        ) from error


def new_network(config: TrainConfig) -> Network:
    """The network of a configuration, with random weights."""
    return create_network(config.network.name, len(config.space), config.tasks, **config.network.options)


def mean_weights(network: Network, sources: Sequence[str]) -> dict[str, torch.Tensor]:
    """The mean of the weights of some checkpoints and models, by name.

    Args:
        network: whose weights they are.
        sources: paths of checkpoints or model directories, or names of models. One that is named twice counts twice.

    Raises:
        ConfigError: if one has not all weights of the network, or was exported with half its size.
        CheckpointError: if a file is not a checkpoint.
    """
    own = network.state_dict()
    fits = [_fitting(own, source, own.__contains__, MEAN) for source in sources]
    for source, weights in zip(sources, fits, strict=True):
        if scales_are_moved(weights):
            raise ConfigError(
                f'{MEAN} {source}: exported with --half, so its weights are scaled in another way: expected its '
                'checkpoint or a model exported without --half'
            )
    return _mean(fits, own, set(own))


def _load_published(network: Network, part: str, source: str, key: str) -> None:
    try:
        network.load_pretrained(part, source)
    except PretrainedError as error:
        begin_anew = ", or '' for random weights" if key == 'encoder' else ''
        raise ConfigError(f'{key}: {error}{begin_anew}') from error


def _refuse_rounded_models(config: TrainConfig) -> None:
    """Models with half their size have batch norms that cannot be trained; raises ConfigError."""
    for part, sources in config.start.items():
        for source in sources:
            if _place(source).is_dir() and scales_are_moved(_trained_weights(source, f'start.{part}')):
                if config.batch_norm == 'frozen' and len(sources) == 1:
                    continue
                raise ConfigError(
                    f'start.{part}: {source} was exported with --half, so its batch norms work in evaluation alone: '
                    'expected its checkpoint or a model exported without --half; or, of one model, batch_norm: frozen'
                )


def _start_whole(network: Network, config: TrainConfig, sources: Sequence[str]) -> None:
    """Take over the mean of some weights, by name. Outputs of other classes, and those that are new, begin anew."""
    own = network.state_dict()
    fits = [_fitting(own, source, lambda name: network.group_of(name) not in network.outputs) for source in sources]
    classes = _check_meanings(config, sources, 'start')
    common = {name for name in own if all(name in weights for weights in fits)}
    if not classes <= {config.space.name}:
        common = {name for name in common if network.group_of(name) != 'segmentation'}
    fresh = sorted({network.group_of(name) for name in own if name not in common})
    if fresh:
        logger.info('start %s: the heads for %s start from random weights', ', '.join(sources), ', '.join(fresh))
    network.load_state_dict(own | _mean(fits, own, common))


def _check_meanings(config: TrainConfig, sources: Sequence[str], key: str) -> set[str]:
    """The label spaces of some sources, whose depth must mean the same; what it means here may differ, and is told.

    Raises:
        ConfigError: if one of them has another depth than the first.
    """
    own, *found = (meaning(card) for card in (draft_card(config, ''), *map(card_of, sources)))
    classes = {each.pop(CLASSES) for each in found if CLASSES in each}
    found = [{what: value for what, value in each.items() if what in own} for each in found]
    for source, each in zip(sources[1:], found[1:], strict=True):
        check_same(found[0], each, f'{key} {source}, beside {sources[0]}')
    for what in found[0]:
        if found[0][what] != own[what]:
            logger.warning(
                '%s %s: its %s is %s, that of this run %s: its depth begins with another scale',
                key,
                sources[0],
                what,
                found[0][what],
                own[what],
            )
    return classes


def _start_part(network: Network, config: TrainConfig, part: str, sources: Sequence[str]) -> None:
    """Take over a part of the mean of some weights, or load what others published for it."""
    key = f'start.{part}'
    if part not in network.groups():
        raise ConfigError(
            f'{key}: not a part of {type(network).__name__}: expected some of {", ".join(network.groups())}'
        )
    if not sources:
        raise ConfigError(f'{key}: expected one or more files')
    missing = [source for source in sources if source != IMAGENET and not _place(source).exists()]
    if missing:
        raise ConfigError(f'{key}: {missing[0]} does not exist: expected a checkpoint, a model, or published weights')
    if len(sources) == 1 and not _is_trained(sources[0]):
        _load_published(network, part, sources[0], key)
        return
    own = network.state_dict()
    names = {name for name in own if network.group_of(name) == part}
    fits = [_fitting(own, source, names.__contains__, key) for source in sources]
    if part == 'depth':
        _check_meanings(config, sources, key)
    elif part == 'segmentation':
        for source in sources:
            check_same({CLASSES: config.space.name}, meaning(card_of(source)), f'{key} {source}')
    network.load_state_dict(own | _mean(fits, own, names))


def _fitting(
    own: dict[str, torch.Tensor], source: str, needed: Callable[[str], bool], key: str = 'start'
) -> dict[str, torch.Tensor]:
    """The weights in a source that have the name and shape of a network's; raises ConfigError if a needed one lacks."""
    weights = _trained_weights(source, key)
    fits = {name: x for name, x in weights.items() if name in own and own[name].shape == x.shape}
    wrong = [name for name in own if name not in fits and needed(name)]
    if wrong:
        raise ConfigError(
            f'{key} {source}: not the weights of this network: {wrong[0]} does not fit, {len(wrong)} tensors in all'
        )
    return fits


def _mean(sources: Sequence[dict[str, torch.Tensor]], own: dict[str, torch.Tensor], names: set[str]) -> dict:
    """The mean of tensors by name; of whole numbers, which count, the first."""
    stacked = {name: torch.stack([weights[name].to(own[name]) for weights in sources]) for name in names}
    return {name: x.mean(dim=0) if x.is_floating_point() else x[0] for name, x in stacked.items()}


def _place(source: str) -> Path:
    """The directory of the model of that name or path, or the path itself."""
    try:
        return find('model', source)
    except ResourceNotFoundError:
        return Path(source).expanduser()


def _is_trained(source: str) -> bool:
    """Whether a source is a checkpoint or a model, as opposed to what others published."""
    path = _place(source)
    return path.is_dir() or is_checkpoint(path)


def _trained_weights(source: str, key: str) -> dict[str, torch.Tensor]:
    """The averaged weights of a checkpoint, or those of a model."""
    path = _place(source)
    if path.is_file():
        return Checkpoint.read(path).group('average')
    if not (path / CARD).is_file():
        raise ConfigError(f'{key} {path}: expected a checkpoint, a model directory or the name of a model')
    try:
        return read_tensors(open_model(path).weights)
    except PretrainedError as error:
        raise ConfigError(f'{key}: {error}') from error

# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint to a model directory."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from mtperception.card import ModelCard
from mtperception.export import Parity, check_place, export_model
from mtperception.networks.network import ENCODER, Network
from mtperception.tasks import TASKS
from mtperception.training.checkpoint import Checkpoint
from mtperception.training.config import WHOLE, ChoiceConfig, ConfigError, TrainConfig
from mtperception.training.config_file import config_from_dict
from mtperception.training.divergence import DivergedError, check_weights
from mtperception.training.meaning import check_same, draft_card, meaning
from mtperception.training.starting_point import MEAN, card_of, mean_weights, new_network
from mtperception.training.temperature import CalibrationError, fit_temperature
from mtperception.training.validation import Validator


def export_checkpoint(
    checkpoint: Path,
    out: Path,
    classes: tuple[int, int] | None = None,
    *,
    others: Sequence[str] = (),
    calibrate: bool = False,
    half: bool = False,
) -> Parity:
    """Write the averaged weights of a checkpoint as a model directory.

    Args:
        checkpoint: a file that training wrote.
        out: the model directory to write.
        classes: first class and end of the slice of the label space to choose among; None is all of it.
        others: further checkpoints or models: the mean of the weights of all is written, each as often as it is named.
            All else is that of `checkpoint`, but for its metrics, which no mean has.
        calibrate: fit the temperature of the confidence on the images that the run was validated on, and measure the
            metrics again with it; the card also keeps the calibration error without it.
        half: round the weights to float16, which halves the files.

    Raises:
        ConfigError: with `calibrate`, if there are none, or they have no labels that a temperature can be fitted to;
            if one of the `others` is of another network; with `classes`, if it has no segmentation.
        DatasetError: with `calibrate`, if they cannot be read.
        CheckpointError: if the file is not a checkpoint.
        DivergedError: if its weights are not finite.
        ModelError: for a slice outside of the label space.
        ParityError: if the exported graph does not reproduce the network.
        OccupiedError: if `out` exists and is not a model directory.
    """
    check_place(out)  # before the time that calibration takes
    state, sources = Checkpoint.read(checkpoint), [str(checkpoint), *others]
    config = config_from_dict(state.scalars['config'])
    if classes and 'segmentation' not in config.tasks:
        raise ConfigError(f'{checkpoint}: found no segmentation, expected it together with a slice of classes')
    card = draft_card(config, out.resolve().name)
    network = _trained(state, config, sources)
    for other in others:
        check_same(meaning(card), meaning(card_of(other)), f'{MEAN} {other}')
    card = replace(card, classes=classes or card.classes)
    metrics, protocol = ({}, {}) if others else (state.scalars['metrics'], state.scalars['protocol'])
    remarks = [_mean(sources)] if others else []
    remarks += ['weights rounded to float16'] if half else []
    if calibrate:
        card, metrics, protocol = _calibrated(network, card, config)
        remarks.append('temperature of the confidence fitted on the images of validation')
    metrics = {name: round(value, 4) for name, value in metrics.items() if not math.isnan(value)}
    card = replace(
        card,
        training={
            'data': config.description,
            'licence': config.licence,
            'procedure': '; '.join([_procedure(config, state.scalars['epoch']), *remarks]),
        },
        metrics=metrics | ({'protocol': protocol} if metrics else {}),
    )
    return export_model(network, card, out, half=half)


def _trained(state: Checkpoint, config: TrainConfig, sources: Sequence[str]) -> Network:
    """The network with the averaged weights of a checkpoint, the first source, or with the mean of all sources; raises
    as `export_checkpoint`."""
    network = new_network(config)
    try:
        network.load_state_dict(state.group('average'))
    except RuntimeError as error:
        raise ConfigError(f'{sources[0]}: not the weights of {config.network.name}: {error}') from error
    if len(sources) > 1:
        network.load_state_dict(mean_weights(network, sources))
    try:
        check_weights(network.state_dict())
    except DivergedError as error:
        raise DivergedError(f'{", ".join(sources)}: {error}: export an earlier checkpoint') from error
    return network


def _calibrated(
    network: Network, card: ModelCard, config: TrainConfig
) -> tuple[ModelCard, dict[str, float], dict[str, Any]]:
    """The card with a temperature fitted on the images of validation, the metrics with it (and the calibration error
    without), and their protocol; raises as `export_checkpoint`."""
    if not config.validation:
        raise ConfigError('--calibrate: the run has no validation images: add some under validation and train again')
    validator = Validator(config, torch.device('cpu'))
    try:
        calibrated = replace(card, temperature=fit_temperature(network, card, validator.datasets))
    except CalibrationError as error:
        raise ConfigError(f'--calibrate: {error}') from error
    before, _ = validator.measure(network, card)
    metrics, protocol = validator.measure(network, calibrated)
    return calibrated, metrics | {'ece_uncalibrated': before['ece']}, protocol


def _procedure(config: TrainConfig, epochs: int) -> str:
    """The configuration in a sentence."""
    optimizer, view = config.optimizer, config.view
    rates = ', '.join(f'{group} {rate:g}' for group, rate in optimizer.learning_rate.items()) or 'usual rates'
    learnt = [*config.tasks, *(output for output in config.losses if output not in TASKS)]
    losses = ' + '.join(_loss(config.losses[output]) for output in learnt)
    return (
        f'{epochs} of {config.epochs} epochs of {optimizer.name} ({rates}; {optimizer.schedule.name}), batches of '
        f'{config.batch_size} views of {view.crop[1]}x{view.crop[0]} pixels scaled by {view.scale[0]:g} to '
        f'{view.scale[1]:g} of the size that the model sees, batch norm {config.batch_norm}, {losses}, '
        f'{config.weighting.name} weighting, {config.regime.name} regime, weights averaged with decay '
        f'{config.average_decay:g}, {config.precision}, '
        f'{_start(config)}'
    )


def _mean(sources: Sequence[str]) -> str:
    """Of what, in words."""
    parts = [f'{count} x {source}' for source, count in Counter(map(_short, sources)).items()]
    return f'then the mean of the weights of {" + ".join(parts)}'


def _loss(chosen: ChoiceConfig) -> str:
    """Its name; of a sum the terms."""
    terms = chosen.options.get('terms') or [{'name': chosen.name}]
    names = ' + '.join(term['name'] for term in terms)
    return f'({names})' if len(terms) > 1 else names


def _start(config: TrainConfig) -> str:
    """What the weights began as, in words."""
    parts = {ENCODER: [config.encoder]} if config.encoder and WHOLE not in config.start else {}
    parts |= config.start
    words = [
        f'{"start" if part == WHOLE else part} from {" + ".join(map(_short, files))}' for part, files in parts.items()
    ]
    teachers = config.distillation.teachers
    taught = [f'taught by {" + ".join(map(_short, teachers))}'] if teachers else []
    steady = ['with consistency losses'] if config.consistency.weights else []
    return ', '.join([*(words or ['random weights']), *taught, *steady])


def _short(source: str) -> str:
    """A run's or model's file by its folder and name, what others published by its name: places say nothing
    elsewhere."""
    path = Path(source)
    return '/'.join(path.parts[-2:]) if path.stem in ('best', 'last') else path.stem

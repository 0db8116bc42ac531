"""From a checkpoint to a model directory."""

from dataclasses import replace
from pathlib import Path

from mtperception.export import Parity, export_model
from mtperception.networks.network import ENCODER
from mtperception.training.checkpoint import Checkpoint
from mtperception.training.config import WHOLE, ConfigError, TrainConfig, config_from_dict
from mtperception.training.divergence import DivergedError, check_weights
from mtperception.training.starting_point import new_network
from mtperception.training.validation import draft_card


def export_checkpoint(checkpoint: Path, out: Path, classes: tuple[int, int] | None = None) -> Parity:
    """Write the averaged weights of a checkpoint as a model directory.

    Args:
        checkpoint: a file that training wrote.
        out: the model directory to write.
        classes: first class and end of the slice of the label space to choose among; None is all of it.

    Raises:
        CheckpointError: if the file is not a checkpoint.
        DivergedError: if its weights are not finite.
        ModelError: for a slice outside of the label space.
        ParityError: if the exported graph does not reproduce the network.
        FileExistsError: if `out` exists and is not a model directory.
    """
    state = Checkpoint.read(checkpoint)
    config = config_from_dict(state.scalars['config'])
    network = new_network(config)
    try:
        network.load_state_dict(state.group('average'))
    except RuntimeError as error:
        raise ConfigError(f'{checkpoint}: not the weights of {config.network.name}: {error}') from error
    try:
        check_weights(network.state_dict())
    except DivergedError as error:
        raise DivergedError(f'{checkpoint}: {error}: export an earlier checkpoint') from error
    card = draft_card(config, out.name)
    metrics = {name: round(value, 4) for name, value in state.scalars['metrics'].items()}
    card = replace(
        card,
        classes=classes or card.classes,
        training={
            'data': config.description,
            'licence': config.licence,
            'procedure': _procedure(config, state.scalars['epoch']),
        },
        metrics=metrics | ({'protocol': state.scalars['protocol']} if metrics else {}),
    )
    return export_model(network, card, out)


def _procedure(config: TrainConfig, epochs: int) -> str:
    """The configuration in a sentence."""
    optimizer, view = config.optimizer, config.view
    rates = ', '.join(f'{part} {rate:g}' for part, rate in optimizer.learning_rate.items())
    losses = ' + '.join(config.losses[task].name for task in config.tasks)
    return (
        f'{epochs} of {config.epochs} epochs of {optimizer.name} ({rates}; {optimizer.schedule.name}), batches of '
        f'{config.batch_size} views of {view.crop[1]}x{view.crop[0]} pixels scaled by {view.scale[0]:g} to '
        f'{view.scale[1]:g}, batch norm {config.batch_norm}, {losses}, {config.weighting.name} weighting, '
        f'{config.regime.name} regime, weights averaged with decay {config.average_decay:g}, {config.precision}, '
        f'{_start(config)}'
    )


def _start(config: TrainConfig) -> str:
    """What the weights began as, in words."""
    parts = {ENCODER: [config.encoder]} if config.encoder and WHOLE not in config.start else {}
    parts |= config.start
    words = [
        f'{"start" if part == WHOLE else part} from {" + ".join(map(_short, files))}' for part, files in parts.items()
    ]
    return ', '.join(words) or 'fresh weights'


def _short(source: str) -> str:
    """What others published by its name; a run's file by its path."""
    return Path(source).stem if Path(source).parent == Path() else source

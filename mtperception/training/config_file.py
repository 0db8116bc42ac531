# SPDX-License-Identifier: Apache-2.0
"""Read and check the configuration of a training run: a YAML file of the keys of `TrainConfig`, `key.subkey=value`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mtperception import resources
from mtperception.tasks import TASKS, in_order, metrics_of
from mtperception.training.config import WHOLE, ChoiceConfig, ConfigError, TrainConfig
from mtperception.training.config_problem import problem_with_config

PARTS = ('all', 'kept', 'held_back')
PRECISIONS = ('fp32', 'bf16', 'fp16')
BATCH_NORM = ('trained', 'frozen')
NETWORK, START = 'network', 'start'
REPLACED = (NETWORK, START)
"""Keys whose short forms replace what another file says, instead of changing it."""


def load_config(source: str | Path, changes: Sequence[str] = ()) -> TrainConfig:
    """Read a configuration.

    A file may say `extends: other`, a file of which it then states only what differs; lists are replaced as a whole.

    Args:
        source: path of a YAML file, or the name of one in `config/train`.
        changes: `key.subkey=value`, applied in order; `data.0.root=...` reaches into lists.

    Raises:
        ResourceNotFoundError: if there is no such file.
        ConfigError: for a key or a value that does not exist or fit.
    """
    path = resources.find('train', source)
    with _errors_naming(str(path)):
        merged = OmegaConf.merge(OmegaConf.structured(TrainConfig), _layers(path))
        for change in changes:
            with _errors_naming(change):
                _apply(change, merged)
        config = _with_default_losses(OmegaConf.to_object(merged))
    check_config(config, str(path))
    return config


@contextmanager
def _errors_naming(where: str) -> Iterator[None]:
    """Name the file, or the change of the command line, in what is wrong with it; raises ConfigError."""
    try:
        yield
    except ConfigError:
        raise
    except (OmegaConfBaseException, yaml.YAMLError, OSError, ValueError, TypeError) as error:
        raise ConfigError(f'{where}: {problem_with_config(error)}') from error


def _apply(change: str, merged: DictConfig) -> None:
    """Make a change `key.subkey=value`."""
    key, equals, text = change.partition('=')
    if not equals:
        raise ConfigError(f'{change!r}: expected key=value')
    # OmegaConf's own reader: YAML's would take 1e-3 for a word.
    value = OmegaConf.to_container(OmegaConf.from_dotlist([f'value={text}']))['value'] if text else ''
    if key == NETWORK and isinstance(value, str):
        OmegaConf.update(merged, key, ChoiceConfig(value), merge=False)
    elif key == START:
        OmegaConf.update(merged, key, _written_out({key: value})[key], merge=False)
    elif key.startswith(f'{START}.') and isinstance(value, str):
        OmegaConf.update(merged, key, [value])
    else:
        OmegaConf.update(merged, key, value)


def _written_out(content: dict[str, Any]) -> dict[str, Any]:
    """Content of a configuration in which short forms are written out: a network's plain name, a single or no part."""
    content = dict(content)
    if isinstance(content.get(NETWORK), str):
        content[NETWORK] = {'name': content[NETWORK], 'options': {}}
    start = content.get(START)
    if isinstance(start, (str, list)):
        start = {WHOLE: start} if start else {}
    if isinstance(start, dict):
        content[START] = {part: [files] if isinstance(files, str) else files for part, files in start.items()}
    return content


def _layers(path: Path, extended_by: tuple[Path, ...] = ()) -> DictConfig:
    """A file's content over that of the file it extends."""
    content = OmegaConf.load(path)
    if not isinstance(content, DictConfig):
        raise ConfigError(f'{path}: expected keys with values, such as epochs: 50')
    if path in extended_by:
        raise ConfigError(f'{path}: extends: extends itself')
    base = content.pop('extends', None)
    replaced = [key for key in REPLACED if key == START or isinstance(content.get(key), str)]
    content = OmegaConf.create(_written_out(OmegaConf.to_container(content)))
    if base is None:
        return content
    beside = path.parent / f'{base}.yaml'
    base_path = beside if beside.exists() else resources.find('train', base)
    below = _layers(base_path, (*extended_by, path))
    for key in replaced:
        if key in content:
            below.pop(key, None)
    return OmegaConf.merge(below, content)


def _with_default_losses(config: TrainConfig) -> TrainConfig:
    """The configuration with the usual loss of each task that it names none for."""
    usual = {task.name: ChoiceConfig(task.loss) for task in in_order(config.tasks)}
    return replace(config, losses=usual | config.losses)


def config_from_dict(content: dict[str, Any]) -> TrainConfig:
    """The configuration that `config_to_dict` made `content` of, in this or an earlier version."""
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TrainConfig), _written_out(content)))


def config_to_dict(config: TrainConfig) -> dict[str, Any]:
    """Plain dicts and lists."""
    return OmegaConf.to_container(OmegaConf.structured(config))


def check_config(config: TrainConfig, where: str) -> None:
    """Check what types do not say; raises ConfigError."""
    for found, expected, key in (
        (config.tasks, TASKS, 'tasks'),
        ([config.precision], PRECISIONS, 'precision'),
        ([config.batch_norm], BATCH_NORM, 'batch_norm'),
        ([data.part for data in config.data + config.validation], PARTS, 'data.part'),
        ([task for data in config.data + config.validation for task in data.tasks or ()], TASKS, 'data.tasks'),
    ):
        unknown = [name for name in found if name not in expected]
        if unknown:
            raise ConfigError(f'{where}: {key}: {", ".join(map(str, unknown))}: expected any of {", ".join(expected)}')
    for key in ('epochs', 'batch_size', 'loss_stride', 'validate_every'):
        if getattr(config, key) < 1:
            raise ConfigError(f'{where}: {key}: found {getattr(config, key)}, expected 1 or more')
    try:
        config.input_policy  # noqa: B018 - it checks itself
    except ValueError as error:
        raise ConfigError(f'{where}: input: {error}') from error
    measured = metrics_of(config.tasks)
    low, high = [*config.view.scale, 0, 0][:2]
    for wrong, message in (
        (
            not config.tasks or len(set(config.tasks)) != len(config.tasks),
            'tasks: expected one or more, without duplicates',
        ),
        ('segmentation' in config.tasks and not config.label_space, 'label_space: segmentation needs one'),
        (not config.data, 'data: expected at least one data set'),
        (len(config.view.scale) != 2 or not 0 < low <= high, 'view.scale: expected two factors, the smaller first'),
        (len(config.view.crop) != 2 or min(config.view.crop) < 32, 'view.crop: expected height and width from 32 on'),
        (min((data.weight for data in config.data), default=1.0) <= 0, 'data.weight: expected more than 0'),
        (not 0 <= config.view.class_balance <= 1, 'view.class_balance: expected a share, 0 to 1'),
        (not 0 <= config.view.copy_paste <= 1, 'view.copy_paste: expected a share, 0 to 1'),
        (not 0 <= config.view.pitch <= 45, 'view.pitch: expected 0 to 45 degrees'),
        (not 0 <= config.view.roll <= 45, 'view.roll: expected 0 to 45 degrees'),
        (
            config.view.normals_window < 3 or config.view.normals_window % 2 == 0,
            'view.normals_window: expected an odd number from 3 on',
        ),
        (
            any((data.part == 'all') == bool(data.folds) for data in config.data + config.validation),
            'data: expected folds together with part: kept or held_back, and neither without the other',
        ),
        (config.optimizer.clip_norm < 0, 'optimizer.clip_norm: expected 0 (off) or more'),
        (config.optimizer.warm_up_steps < 0, 'optimizer.warm_up_steps: expected 0 or more'),
        (config.seed < 0, 'seed: expected 0 or more'),
        (config.workers < 0, 'workers: expected 0 or more'),
        (len(config.depth_range) != 2, 'depth_range: expected two numbers'),
        (WHOLE in config.start and len(config.start) > 1, f'start: expected either {WHOLE} or parts of the network'),
        (
            bool(config.validation) and config.select_by not in measured,
            f'select_by: {config.select_by} is not a measured metric: expected one of {", ".join(measured)}',
        ),
        (config.distillation.temperature <= 0, 'distillation.temperature: expected more than 0'),
        (min(config.distillation.weights.values(), default=0) < 0, 'distillation.weights: expected 0 or more'),
        (min(config.consistency.weights.values(), default=0) < 0, 'consistency.weights: expected 0 or more'),
        (not 0 <= config.consistency.shift < 0.5, 'consistency.shift: expected 0 to below 0.5'),
        (config.consistency.zoom < 0, 'consistency.zoom: expected 0 or more'),
        (not 0 <= config.consistency.light < 1, 'consistency.light: expected 0 to below 1'),
        (config.consistency.noise < 0, 'consistency.noise: expected 0 or more'),
        (not 0 <= config.average_decay < 1, 'average_decay: expected 0 to below 1'),
        (
            config.precision == 'fp16' and config.regime.name == 'ubernet',
            'the ubernet regime accumulates gradients: use bf16 or fp32',
        ),
    ):
        if wrong:
            raise ConfigError(f'{where}: {message}')

# SPDX-License-Identifier: Apache-2.0
"""Read and check the configuration of a training run: a YAML file of the keys of `TrainConfig`, `key.subkey=value`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mtperception import resources
from mtperception.errors import InputError
from mtperception.tasks import TASKS, in_order
from mtperception.training.config import WHOLE, ChoiceConfig, ConfigError, TrainConfig
from mtperception.training.config_check import check_config
from mtperception.training.config_problem import problem_with_config

NETWORK, START, LOSSES, PATHS = 'network', 'start', 'losses', 'paths'
REPLACED = (NETWORK, START)
"""Keys whose short forms replace what another file says, instead of changing it."""


def load_config(source: str | Path, changes: Sequence[str] = ()) -> TrainConfig:
    """Read a configuration.

    A file may say `extends: other`, a file of which it then states only what differs; lists are replaced as a whole.
    With another `name`, of a loss for example, the `options` that were the former one's go.

    Args:
        source: path of a YAML file, or the name of one in `config/train`.
        changes: `key.subkey=value`, applied in order; `data.0.root=...` reaches into lists.

    Raises:
        ResourceNotFoundError: if there is no such file.
        ConfigError: for a key or a value that does not exist or fit.
    """
    path = resources.find('train', source)
    with _errors_naming(str(path)):
        merged = _structured(_layers(path))
        for change in changes:
            with _errors_naming(change):
                _apply(change, merged)
        config = _with_default_losses(OmegaConf.to_object(merged))
    check_config(config, str(path))
    return config


def _structured(content: DictConfig) -> DictConfig:
    """Content as a `TrainConfig`; raises InputError, or as OmegaConf does, by the key that does not fit."""
    merged = OmegaConf.structured(TrainConfig)
    for key in content:
        try:
            merged = OmegaConf.merge(merged, OmegaConf.masked_copy(content, key))
        except (OmegaConfBaseException, TypeError) as error:
            if getattr(error, 'full_key', None):
                raise
            expected = 'a list' if isinstance(merged[key], ListConfig) else 'keys with values'
            found = OmegaConf.to_container(content)[key]
            raise InputError(f'{key}: found {found!r}, expected {expected}') from error
    return merged


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
    if key.startswith(f'{LOSSES}.'):
        output = key.split('.')[1]
        merged.losses.setdefault(output, ChoiceConfig(TASKS[output].loss if output in TASKS else ''))
    value = text if _is_text(key, merged) else _read(text)
    if key == NETWORK and isinstance(value, str):
        OmegaConf.update(merged, key, ChoiceConfig(value), merge=False)
    elif key == START:
        OmegaConf.update(merged, key, _written_out({key: value})[key], merge=False)
    elif key.startswith(f'{START}.') and isinstance(value, str):
        OmegaConf.update(merged, key, [value])
    else:
        nested = value
        for part in reversed(key.split('.')):
            nested = {part: nested}
        _forget_options(merged, nested)
        OmegaConf.update(merged, key, value)


def _read(text: str) -> Any:
    """A value of the command line, by OmegaConf's reader: YAML's would take 1e-3 for a word."""
    return OmegaConf.to_container(OmegaConf.from_dotlist([f'value={text}']))['value'] if text else ''


def _is_text(key: str, merged: DictConfig) -> bool:
    """Whether a key's value is a text, which stays as it is written: 0012 is no number, and no is a word."""
    now = OmegaConf.select(merged, key, throw_on_resolution_failure=False)
    return key.startswith(f'{PATHS}.') or isinstance(now, str)


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
    beside = [path.parent / name for name in (base, f'{base}.yaml') if (path.parent / name).is_file()]
    base_path = beside[0] if beside else resources.find('train', base)
    below = _layers(base_path, (*extended_by, path))
    for key in replaced:
        if key in content:
            below.pop(key, None)
    _forget_options(below, OmegaConf.to_container(content))
    return OmegaConf.merge(below, content)


def _forget_options(below: Any, above: Any) -> None:
    """Empty the options of what gets another name: they are those of what had the name."""
    if not (isinstance(below, DictConfig) and isinstance(above, dict)):
        return
    if 'options' in below and above.get('name', below.get('name')) != below.get('name'):
        below.options = {}
    for key, value in above.items():
        if key in below:
            _forget_options(below[key], value)


def _with_default_losses(config: TrainConfig) -> TrainConfig:
    """The configuration with the usual loss of each task that it names none for."""
    usual = {task.name: ChoiceConfig(task.loss) for task in in_order(config.tasks)}
    return replace(config, losses=usual | config.losses)


def config_from_dict(content: dict[str, Any]) -> TrainConfig:
    """The configuration that `config_to_dict` made `content` of."""
    return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(TrainConfig), content))


def config_to_dict(config: TrainConfig) -> dict[str, Any]:
    """Plain dicts and lists."""
    return OmegaConf.to_container(OmegaConf.structured(config))

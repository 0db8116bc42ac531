# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a configuration, in words that need no knowledge of OmegaConf."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

from omegaconf.errors import ConfigAttributeError, ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException
from yaml import MarkedYAMLError

from mtperception.training.config import TrainConfig

KINDS = {
    **{'Integer': 'a whole number', 'int': 'a whole number', 'Float': 'a number', 'float': 'a number'},
    **{'Boolean': 'true or false', 'bool': 'true or false', 'String': 'a text', 'str': 'a text'},
}
"""What is expected, by the type as OmegaConf names it."""
_WRONG_KIND = re.compile(
    r"(?:could not be converted to|for field of type|is not a valid) '?(\w+)|is not a (ListConfig|subclass of)"
)


def problem_with_config(error: Exception) -> str:
    """One line: what was found, what was expected and, for a key that looks misspelt, the nearest one.

    Args:
        error: of OmegaConf, of the reader of YAML, or of a value that does not fit.
    """
    if isinstance(error, ConfigKeyError | ConfigAttributeError) and is_dataclass(error.object_type):
        return _unknown_key(error.full_key, error.object_type)
    if isinstance(error, MissingMandatoryValue):
        return f'{error.full_key}: found no value, expected one'
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        return f'line {error.problem_mark.line + 1}: {error.problem}'
    message = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    key = getattr(error, 'full_key', None)
    return f'{key}: {_wrong_value(error, message)}' if key else message


def _wrong_value(error: OmegaConfBaseException, message: str) -> str:
    kind = _WRONG_KIND.search(message)
    if not kind or (kind[1] and kind[1] not in KINDS):
        return message
    expected = KINDS[kind[1]] if kind[1] else ('a list' if kind[2] == 'ListConfig' else 'keys with values')
    return f'found {error.value!r}, expected {expected}'


def _unknown_key(key: str, parent: type) -> str:
    """`parent` is the dataclass that has no such key."""
    above, dot, last = key.rpartition('.')
    beside = [field.name for field in fields(parent)]
    if near := difflib.get_close_matches(last, beside, 1):
        return f'found the unknown key {key}, did you mean {above}{dot}{near[0]}?'
    elsewhere = {name.rpartition('.')[2]: name for name in _keys(TrainConfig)}
    if near := difflib.get_close_matches(last, elsewhere, 1, cutoff=0.8):
        return f'found the unknown key {key}, did you mean {elsewhere[near[0]]}?'
    return f'found the unknown key {key}, expected one of {", ".join(f"{above}{dot}{name}" for name in beside)}'


def _keys(kind: type, above: str = '') -> Iterator[str]:
    """Every key below a dataclass, with those above it."""
    hints: dict[str, Any] = get_type_hints(kind)
    for field in fields(kind):
        yield above + field.name
        if is_dataclass(hints[field.name]):
            yield from _keys(hints[field.name], f'{above}{field.name}.')

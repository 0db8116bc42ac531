# SPDX-License-Identifier: Apache-2.0
"""Picks what the configuration names."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mtperception.options import wrong_type
from mtperception.training.config import ConfigError

T = TypeVar('T')


def create(kind: str, choices: Mapping[str, Callable[..., T]], name: str, options: Mapping[str, Any], *args: Any) -> T:
    """Call `choices[name]` with `args` and, by keyword, the options of the configuration.

    Args:
        kind: what is chosen, for messages.

    Raises:
        ConfigError: for a name that is not among the choices, or options that it does not take or that are of another
            type.
    """
    if name not in choices:
        raise ConfigError(f'unknown {kind} {name!r}: expected one of {", ".join(choices)}')
    wrong = wrong_type(choices[name], options)
    if wrong:
        raise ConfigError(f'{kind} {name}: {wrong}')
    try:
        return choices[name](*args, **options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f'{kind} {name} with options {dict(options)}: {error}') from error

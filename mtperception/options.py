# SPDX-License-Identifier: Apache-2.0
"""Options of what a configuration names, as YAML gives them: of the types that its signature says?"""

import inspect
from collections.abc import Callable, Mapping
from types import UnionType
from typing import Any, Union, get_args, get_origin

PLAIN = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'a text'}
"""The types that are checked, and what they are called in YAML."""


def wrong_type(signature_of: Callable[..., Any], options: Mapping[str, Any]) -> str | None:
    """What is wrong with the first option that is of another type than its parameter, or none if all are right.

    A whole number is a number, too. Parameters of other types than `PLAIN` may be anything, and so may those that the
    signature lacks: the call refuses them.
    """
    parameters = inspect.signature(signature_of).parameters
    for name, value in options.items():
        annotation = parameters[name].annotation if name in parameters else None
        kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
        expected = [kind for kind in kinds if kind in PLAIN]
        if not expected or (value is None and type(None) in kinds):
            continue
        accepted = (*expected, int) if float in expected else tuple(expected)
        if type(value) not in accepted:
            return f'{name} is {value!r}: expected {" or ".join(PLAIN[kind] for kind in expected)}'
    return None

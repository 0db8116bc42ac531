# SPDX-License-Identifier: Apache-2.0
"""Options that several commands share, as records: a command takes the record, its user the options."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, get_type_hints


def with_records(command: Callable[..., None]) -> Callable[..., None]:
    """A command in whose signature the fields of records stand in the place of the records, for Typer to read.

    Args:
        command: of whose parameters some are records: frozen dataclasses, whose fields have the annotations of
            options, and all a default.
    """
    hints = get_type_hints(command, include_extras=True)
    records = {name: kind for name, kind in hints.items() if is_dataclass(kind)}

    @wraps(command)
    def run(**options: Any) -> None:
        made = {
            name: kind(**{field.name: options.pop(field.name) for field in fields(kind)})
            for name, kind in records.items()
        }
        command(**options, **made)

    parameters = [option for name in signature(command).parameters for option in _options(command, name, records)]
    run.__signature__ = Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _options(command: Callable[..., None], name: str, records: dict[str, type]) -> Iterator[Parameter]:
    """The parameters that stand for one, which may be a record. By keyword, they need no order of their defaults."""
    if name not in records:
        yield signature(command).parameters[name].replace(kind=Parameter.KEYWORD_ONLY)
        return
    hints = get_type_hints(records[name], include_extras=True)
    for field in fields(records[name]):
        yield Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name])

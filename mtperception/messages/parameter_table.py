# SPDX-License-Identifier: Apache-2.0
"""The parameters of a node as a table: what each is, what it may be, and all of them together as settings."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mtperception.errors import InputError

Settings = TypeVar('Settings')


def _no_problem(_: Any) -> str:
    return ''


@dataclass(frozen=True)
class ParameterSpec:
    """One parameter."""

    name: str
    default: str | bool | int | float | tuple[str, ...] | tuple[int, ...]
    description: str
    choices: tuple[str, ...] = ()
    """Allowed values of a text."""
    limits: tuple[float, float] | None = None
    """Smallest and largest number (of each element of a list): for the descriptor, by which rclpy checks them."""
    live: bool = False
    """Whether it can change while the node is configured."""
    fixed: bool = False
    """Whether it is read once, when the process starts."""
    check: Callable[[Any], str] = _no_problem
    """What else is wrong with a value; empty if nothing."""

    @property
    def is_list(self) -> bool:
        """Whether its value is a list, which is a tuple here."""
        return isinstance(self.default, tuple)

    def problem(self, value: Any) -> str:
        """What is wrong with a value of the right type and within its limits; empty if nothing."""
        if self.choices and value not in self.choices:
            return f'{self.name} {value!r}: expected one of {", ".join(self.choices)}'
        return self.check(value)


@dataclass(frozen=True)
class ParameterTable(Generic[Settings]):
    """All parameters of a node.

    Args:
        specs: one for each parameter.
        settings: makes settings of their values, by name: a dataclass with a field for each of them.
    """

    specs: tuple[ParameterSpec, ...]
    settings: Callable[..., Settings]

    def __iter__(self) -> Iterator[ParameterSpec]:
        """The parameters, in the order of the table."""
        return iter(self.specs)

    def find(self, name: str) -> ParameterSpec | None:
        """The parameter of a name; None if the table has none."""
        return next((spec for spec in self.specs if spec.name == name), None)

    def check(self, values: Mapping[str, Any]) -> None:
        """Raise ValueError for values of the table's parameters that are not allowed; the message says what is."""
        given = [spec for spec in self.specs if spec.name in values]
        problems = [problem for spec in given if (problem := spec.problem(values[spec.name]))]
        if problems:
            raise InputError('; '.join(problems))

    def settings_from(self, values: Mapping[str, Any]) -> Settings:
        """Settings of the values of all parameters, by name; raises ValueError as `check` does."""
        self.check(values)
        return self.settings(
            **{spec.name: tuple(values[spec.name]) if spec.is_list else values[spec.name] for spec in self.specs}
        )

    def defaults(self) -> Settings:
        """The defaults of the node."""
        return self.settings_from({spec.name: spec.default for spec in self.specs})

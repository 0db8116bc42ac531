# SPDX-License-Identifier: Apache-2.0
"""Declaring, checking and reading parameters in a node."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Generic, TypeVar

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    ParameterType,
)
from rclpy.exceptions import (
    InvalidParameterTypeException,
    InvalidParameterValueException,
)
from rclpy.node import Node
from rclpy.parameter import Parameter

from mtperception.errors import InputError
from mtperception.messages.parameter_table import ParameterSpec, ParameterTable

CLOSE = 0.8
"""Names at least as similar as that to a parameter's (difflib's ratio) are taken for a typo."""
Settings = TypeVar('Settings')
_TYPES = {
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
    str: ParameterType.PARAMETER_STRING,
}
_ARRAY_TYPES = {int: ParameterType.PARAMETER_INTEGER_ARRAY, str: ParameterType.PARAMETER_STRING_ARRAY}


class NodeParameters(Generic[Settings]):
    """The parameters of a node: declares those of a table, checks changes of them, and reads them as settings.

    Args:
        node: has them.
        table: of the node.
    """

    def __init__(self, node: Node, table: ParameterTable[Settings]) -> None:
        self._node = node
        self._table = table
        self._unusable = declare(node, table)

    def read(self) -> Settings:
        """The current values.

        Raises:
            ValueError: for a value that is not allowed; says what was found and what was expected.
        """
        if self._unusable:
            raise InputError('; '.join(self._unusable.values()))
        return self._table.settings_from({spec.name: self._node.get_parameter(spec.name).value for spec in self._table})

    def check(self, changes: Iterable[Parameter]) -> None:
        """Check single values while the node is not configured; raises ValueError as `read` does."""
        self._table.check({change.name: change.value for change in changes})

    def with_changes(self, settings: Settings, changes: Sequence[Parameter]) -> Settings:
        """Settings after a change while the node is configured.

        Raises:
            ValueError: for a value that is not allowed, or a parameter that is read on configure only.
        """
        values = {change.name: change.value for change in changes if self._table.find(change.name)}
        frozen = [name for name in values if not self._table.find(name).live]
        if frozen:
            names = ', '.join(frozen)
            raise InputError(f'{names} is read on configure: clean up the node, set it and configure again')
        return self._table.settings_from(asdict(settings) | values)

    def note(self, changes: Iterable[Parameter]) -> None:
        """Take note of values that were set: what the process was given for them matters no more."""
        for change in changes:
            self._unusable.pop(change.name, None)


def declare(node: Node, specs: Iterable[ParameterSpec]) -> dict[str, str]:
    """Declare every parameter, with its description and range; warn of given ones whose names are nearly one of these.

    Returns:
        By name, what is wrong with overrides that do not fit: those parameters have their defaults, and the node must
        not be configured before they are set.
    """
    specs = list(specs)
    problems = {spec.name: problem for spec in specs if (problem := _declare(node, spec))}
    _warn_of_typos(node, [spec.name for spec in specs])
    return problems


def _declare(node: Node, spec: ParameterSpec) -> str:
    """Declare one parameter; what is wrong with its override, empty if nothing."""
    default = list(spec.default) if spec.is_list else spec.default
    if _is_given_nothing(node, spec.name):
        node.declare_parameter(spec.name, default, _descriptor(spec), ignore_override=True)
        return _set_to_nothing(node, spec)
    try:
        node.declare_parameter(spec.name, default, _descriptor(spec))
    except (InvalidParameterValueException, InvalidParameterTypeException) as error:
        node.declare_parameter(spec.name, default, _descriptor(spec), ignore_override=True)
        return f'{" ".join(str(error).split())}: {_expected(spec)}'
    return ''


def _is_given_nothing(node: Node, name: str) -> bool:
    """Whether a file says `name: []`: a list whose type ROS cannot know."""
    given = node._parameter_overrides.get(name)  # rclpy has no other way to what was given and not declared
    return given is not None and given.type_ == Parameter.Type.NOT_SET


def _set_to_nothing(node: Node, spec: ParameterSpec) -> str:
    """Give a list no elements; why that is not possible, empty if it is."""
    if not spec.is_list or spec.fixed:
        return f'{spec.name} []: {_expected(spec)}'
    node.set_parameters([Parameter(spec.name, Parameter.Type(_descriptor(spec).type), [])])
    return ''


def _warn_of_typos(node: Node, names: Sequence[str]) -> None:
    """ROS passes over what no node declares, which is right of a file for many nodes, but not of a misspelt name."""
    for given in node._parameter_overrides:
        meant = [] if node.has_parameter(given) else difflib.get_close_matches(given, names, 1, CLOSE)
        if meant:
            node.get_logger().warning(f'unknown parameter {given!r}, ignored: did you mean {meant[0]!r}?')


def _expected(spec: ParameterSpec) -> str:
    """What a value must be, in words."""
    kind = type(spec.default[0] if spec.is_list else spec.default).__name__
    limits = f' from {spec.limits[0]} to {spec.limits[1]}' if spec.limits else ''
    return f'expected {"a list of " if spec.is_list else ""}{kind}{limits}'


def _descriptor(spec: ParameterSpec) -> ParameterDescriptor:
    first = spec.default[0] if spec.is_list else spec.default
    types = _ARRAY_TYPES if spec.is_list else _TYPES
    descriptor = ParameterDescriptor(
        name=spec.name, type=types[type(first)], description=spec.description, read_only=spec.fixed
    )
    if spec.choices:
        descriptor.additional_constraints = f'one of {", ".join(spec.choices)}'
    elif not (spec.live or spec.fixed):
        descriptor.additional_constraints = 'read on configure'
    if spec.limits and isinstance(spec.default, float):
        # A whole number in a float field is sent as other bits: convert.
        low, high = map(float, spec.limits)
        descriptor.floating_point_range = [FloatingPointRange(from_value=low, to_value=high)]
    elif spec.limits:
        low, high = map(int, spec.limits)
        descriptor.integer_range = [IntegerRange(from_value=low, to_value=high, step=1)]
    return descriptor

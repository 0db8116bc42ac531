"""Declaring, checking and reading parameters in a node."""

import difflib
from collections.abc import Sequence
from dataclasses import asdict

from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    ParameterType,
)
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from mtperception.messages.parameters import PARAMETERS, ParameterSpec, Settings, problem_with, settings_from

CLOSE = 0.8
"""Names at least as similar as that to a parameter's (difflib's ratio) are taken for a slip of the pen."""
_BY_NAME = {spec.name: spec for spec in PARAMETERS}
_TYPES = {
    bool: ParameterType.PARAMETER_BOOL,
    int: ParameterType.PARAMETER_INTEGER,
    float: ParameterType.PARAMETER_DOUBLE,
    str: ParameterType.PARAMETER_STRING,
}
_ARRAY_TYPES = {int: ParameterType.PARAMETER_INTEGER_ARRAY, str: ParameterType.PARAMETER_STRING_ARRAY}


def declare(node: Node, specs: Sequence[ParameterSpec] = PARAMETERS) -> dict[str, str]:
    """Declare every parameter, with its description and range; warn of given ones whose names are nearly one of these.

    Returns:
        By name, what is wrong with overrides that do not fit: those parameters have their defaults, and the node must
        not be configured before they are set.
    """
    problems = {}
    for spec in specs:
        default = list(spec.default) if isinstance(spec.default, tuple) else spec.default
        try:
            node.declare_parameter(spec.name, default, _descriptor(spec))
        except (InvalidParameterValueException, InvalidParameterTypeException) as error:
            node.declare_parameter(spec.name, default, _descriptor(spec), ignore_override=True)
            problems[spec.name] = f'{" ".join(str(error).split())}: {_expected(spec)}'
    _warn_of_slips(node, [spec.name for spec in specs])
    return problems


def _warn_of_slips(node: Node, names: Sequence[str]) -> None:
    """ROS passes over what no node declares, which is right of a file for many nodes, but not of a misspelt name."""
    for given in node._parameter_overrides:  # rclpy has no other way to what was given and not declared
        meant = [] if node.has_parameter(given) else difflib.get_close_matches(given, names, 1, CLOSE)
        if meant:
            node.get_logger().warning(f'no parameter {given!r}, it has no effect: did you mean {meant[0]!r}?')


def read(node: Node) -> Settings:
    """The current values.

    Raises:
        ValueError: for a value that cannot be; says what was found and what is expected.
    """
    return settings_from({spec.name: node.get_parameter(spec.name).value for spec in PARAMETERS})


def check(changes: Sequence[Parameter]) -> None:
    """Check single values while the node is not configured; raises ValueError as `read` does."""
    problems = [problem_with(_BY_NAME[change.name], change.value) for change in changes if change.name in _BY_NAME]
    if any(problems):
        raise ValueError('; '.join(filter(None, problems)))


def with_changes(settings: Settings, changes: Sequence[Parameter]) -> Settings:
    """Settings after a change while the node is configured.

    Raises:
        ValueError: for a value that cannot be, or a parameter that is read on configure only.
    """
    known = [change for change in changes if change.name in _BY_NAME]
    fixed = [change.name for change in known if not _BY_NAME[change.name].live]
    if fixed:
        raise ValueError(f'{", ".join(fixed)} is read on configure: clean the node up, set it and configure it again')
    return settings_from(asdict(settings) | {change.name: change.value for change in known})


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

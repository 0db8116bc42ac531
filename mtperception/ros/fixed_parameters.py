# SPDX-License-Identifier: Apache-2.0
"""Parameters of the small nodes: read once, when the process starts."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from rclpy.node import Node

from mtperception.errors import InputError
from mtperception.messages.parameter_table import ParameterSpec
from mtperception.ros.parameters import declare

fixed = partial(ParameterSpec, fixed=True)
"""A parameter that is read once."""


def read_once(node: Node, specs: Sequence[ParameterSpec]) -> dict[str, Any]:
    """Declare parameters; their values by name.

    Raises:
        ValueError: for a value that cannot be; says what was found and what is expected.
    """
    problems = declare(node, specs)
    if problems:
        raise InputError('; '.join(problems.values()))
    return {spec.name: node.get_parameter(spec.name).value for spec in specs}

# SPDX-License-Identifier: Apache-2.0
"""Usage errors of every command: what was found and what was expected, and arguments in capitals."""

import re
from typing import Any

import typer
from typer.core import TyperCommand

KINDS = {'int': 'a whole number', 'float': 'a number', 'finite': 'a finite number', 'bool': 'true or false'}
"""What is expected, by the first word of the kind of a pydantic error."""
BOUNDS = {
    'greater_than_equal': ('ge', 'at least'),
    'greater_than': ('gt', 'more than'),
    'less_than_equal': ('le', 'at most'),
    'less_than': ('lt', 'less than'),
}
"""By the kind of a pydantic error: the key of its limit, and the words for it."""
_CHOICE = re.compile(r"'(?P<found>.*)' is not one of (?P<known>'.*')\.?$", re.DOTALL)


class Command(TyperCommand):
    """A command whose usage errors are in our own words: typer's are those of click or pydantic, by its version."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        for parameter in self.params:
            if parameter.param_type_name == 'argument' and parameter.metavar is None:
                parameter.metavar = str(parameter.name).upper()

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:
        """The parts of the usage line: later versions of typer put required arguments into braces."""
        return [piece.replace('{', '').replace('}', '') for piece in super().collect_usage_pieces(ctx)]

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:
        """Read the command line; raises BadParameter."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            error.message = _in_own_words(error)
            raise


def _in_own_words(error: typer.BadParameter) -> str:
    problems = getattr(error.__cause__, 'errors', None)
    problem = problems()[0] if callable(problems) else {}
    kind, limits = problem.get('type', ''), problem.get('ctx', {})
    message = str(limits.get('error', error.message))
    if choice := _CHOICE.search(message):
        return f'found {choice["found"]!r}, expected one of {choice["known"].replace(chr(39), "")}'
    if kind in BOUNDS:
        key, words = BOUNDS[kind]
        return f'found {problem["input"]}, expected {words} {limits[key]}'
    if kind.partition('_')[0] in KINDS:
        return f'found {problem["input"]!r}, expected {KINDS[kind.partition("_")[0]]}'
    return message

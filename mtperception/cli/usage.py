# SPDX-License-Identifier: Apache-2.0
"""Options that do not go together, and packages that an option needs: told before the work."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from mtperception.errors import MissingPackageError


def check_usage(*problems: tuple[object, str, str]) -> None:
    """Check how options go together.

    Args:
        problems: whether something is wrong, the option or argument that it is about, and what was expected.

    Raises:
        BadParameter: for the first that is.
    """
    for is_wrong, option, message in problems:
        if is_wrong:
            raise typer.BadParameter(message, param_hint=option)


@contextmanager
def needs(what: str, packages: str, extra: str) -> Iterator[None]:
    """Around the import of what an extra installs.

    Args:
        what: the command or option that needs it.
        packages: what it needs, for people.
        extra: of this package, that has them.

    Raises:
        MissingPackageError: if something cannot be imported.
    """
    try:
        yield
    except ImportError as error:
        raise MissingPackageError(f'{what} needs {packages} ({error}): pip install "mtperception[{extra}]"') from error

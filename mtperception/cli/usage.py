# SPDX-License-Identifier: Apache-2.0
"""Options that do not go together: told before the work."""

import typer


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

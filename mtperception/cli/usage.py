# SPDX-License-Identifier: Apache-2.0
"""Options that do not go together: told before the work."""

import typer

from mtperception.cli.settings import LabelledBagSettings


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


def check_label_space(label_space: str, bag: LabelledBagSettings) -> None:
    """Check that a label space is given only where there are labels that it is of; raises BadParameter."""
    check_usage((label_space and not bag.label_topic, '--label-space', 'expected together with --label-topic'))

# SPDX-License-Identifier: Apache-2.0
"""Options that do not go together: told before the work."""

import typer

from mtperception.cli.settings import LabelledBagSettings
from mtperception.labels import DEFAULT_LABEL_OFFSET


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


def check_label_options(label_space: str, bag: LabelledBagSettings) -> None:
    """Check that what labels mean is said only where some are read; raises BadParameter."""
    expected = 'expected together with --label-topic'
    check_usage(
        (label_space and not bag.label_topic, '--label-space', expected),
        (bag.label_offset != DEFAULT_LABEL_OFFSET and not bag.label_topic, '--label-offset', expected),
    )

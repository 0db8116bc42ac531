# SPDX-License-Identifier: Apache-2.0
"""What commands with `--report` do before their work: what is missing is said then, not after it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from mtperception.cli.folders import check_apart, make_folder
from mtperception.errors import needs
from mtperception.evaluation.report_folder import check_report_folder

REPORT = '--report'


def report_needs(packages: str) -> AbstractContextManager[None]:
    """Around the import of what writes a report; raises as `needs`."""
    return needs(REPORT, packages, 'train')


def prepare_report(out: Path, inputs: Sequence[str]) -> None:
    """Make the folder of a report, apart from what the report is about.

    Raises:
        InputError, WriteError: as `check_apart`, `check_report_folder` and `make_folder`.
    """
    check_apart(out, inputs, REPORT)
    check_report_folder(out)
    make_folder(out, REPORT)

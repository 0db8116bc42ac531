# SPDX-License-Identifier: Apache-2.0
"""What commands with `--report` do before their work: what is missing is said then, not after it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mtperception.cli.folders import check_apart, make_folder
from mtperception.errors import MissingPackageError

REPORT = '--report'


@contextmanager
def report_needs(packages: str) -> Iterator[None]:
    """Around the import of what writes a report.

    Raises:
        MissingPackageError: if it cannot be imported; names these packages and the extra that has them.
    """
    try:
        yield
    except ImportError as error:
        raise MissingPackageError(f'{REPORT} needs {packages} ({error}): pip install "mtperception[train]"') from error


def prepare_report(out: Path, inputs: Sequence[str]) -> None:
    """Make the folder of a report, apart from what the report is about; raises as `check_apart` and `make_folder`."""
    check_apart(out, inputs, REPORT)
    make_folder(out, REPORT)

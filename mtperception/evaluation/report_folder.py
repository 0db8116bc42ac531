# SPDX-License-Identifier: Apache-2.0
"""The folder of a report, which replaces an earlier report, and nothing else."""

from pathlib import Path

from mtperception.errors import InputError

PAGE = 'index.html'
ENTRIES = ('images', 'plots', PAGE)
"""What a report writes."""
GENERATOR = '<meta name="generator" content="mtperception'
"""What is in its page."""


def check_report_folder(out: Path) -> None:
    """Check that what a report would replace is of an earlier report.

    Raises:
        InputError: if not.
    """
    out = out.expanduser()
    page = out / PAGE
    if page.is_file() and GENERATOR in page.read_text(encoding='utf-8', errors='replace'):
        return
    found = next((name for name in ENTRIES if (out / name).exists()), None)
    if found:
        raise InputError(f'{out} holds {found}, which is not of an earlier report: choose a new folder')

# SPDX-License-Identifier: Apache-2.0
"""Every source file says its licence, so that one that is copied elsewhere keeps it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINE = '# SPDX-License-Identifier: Apache-2.0'
LINE_OF_TEMPLATES = f'{{{LINE} #}}'
SOURCES = (
    'mtperception/**/*.py',
    'mtperception/templates/*',
    'launch/*.py',
    'test/**/*.py',
    'setup.py',
    'Makefile',
    'docker/*',
    '.ci/run',
)


def sources(pattern):
    return [path for path in ROOT.glob(pattern) if path.is_file()]


@pytest.mark.parametrize('pattern', SOURCES)
def test_every_source_file_begins_with_its_licence(pattern):
    assert sources(pattern)
    for path in sources(pattern):
        lines = [line for line in path.read_text(encoding='utf-8').splitlines() if not line.startswith('#!')]
        assert lines[0] == (LINE_OF_TEMPLATES if path.suffix == '.html' else LINE), path

# SPDX-License-Identifier: Apache-2.0
"""The table of costs in docs/systems.md is that of the networks."""

import re
from pathlib import Path

import pytest

from mtperception.benchmark.systems import count_costs

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'systems.md'
ROW = re.compile(r'\| `(\w+)` \| [^\d\n]*(\d+)x(\d+) \| (\d+) \| ([\d,]+) \| ([\d.]+)')
ROWS = ROW.findall(PAGE.read_text(encoding='utf-8'))


def test_every_system_has_a_row():
    expected = ['joint_lw_refinenet', 'multitasknet', 'hybridnet', 'mtl_spp', 'mtl_ssw', 'mt_unet']
    assert [row[0] for row in ROWS] == expected


@pytest.mark.parametrize(('name', 'width', 'height', 'classes', 'parameters', 'gflops'), ROWS)
def test_costs_are_those_of_the_network(name, width, height, classes, parameters, gflops):
    counted, work = count_costs(name, int(classes), ('segmentation', 'depth'), (int(width), int(height)), {})
    assert counted == int(parameters.replace(',', ''))
    assert work == pytest.approx(float(gflops), abs=0.06)

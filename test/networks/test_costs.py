# SPDX-License-Identifier: Apache-2.0
"""The table of costs in docs/systems.md is that of the networks."""

import re
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from mtperception.networks import create_network

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'systems.md'
ROW = re.compile(r'\| `(\w+)` \| [^\d\n]*(\d+)x(\d+) \| (\d+) \| ([\d,]+) \| ([\d.]+)')
ROWS = ROW.findall(PAGE.read_text(encoding='utf-8'))


def test_every_system_has_a_row():
    expected = ['joint_lw_refinenet', 'multitasknet', 'hybridnet', 'mtl_spp', 'mtl_ssw', 'mt_unet']
    assert [row[0] for row in ROWS] == expected


@pytest.mark.parametrize(('name', 'width', 'height', 'classes', 'parameters', 'gflops'), ROWS)
def test_costs_are_those_of_the_network(name, width, height, classes, parameters, gflops):
    with torch.device('meta'), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network = create_network(name, int(classes)).eval()
        network(torch.zeros(1, 3, int(height), int(width)))
    assert sum(x.numel() for x in network.parameters()) == int(parameters.replace(',', ''))
    assert counter.get_total_flops() / 1e9 == pytest.approx(float(gflops), abs=0.06)

# SPDX-License-Identifier: Apache-2.0
"""What is said of a model whose training data rule out commercial use."""

import subprocess
import sys

import pytest

from mtperception import model_terms


@pytest.mark.parametrize(
    ('training', 'expected'),
    [
        ({'data': 'frames of one drive of KITTI'}, True),
        ({'data': 'ADE20K'}, True),
        ({'data': 'photographs of Places365'}, True),
        ({'data': 'places with pictures'}, False),
        ({'licence': 'the data are CC BY-NC-SA 3.0'}, True),
        ({'licence': 'noncommercial use'}, True),
        ({'licence': 'for academic usage'}, True),
        ({'data': 'NYU Depth v2', 'licence': 'weights: Apache-2.0; the data are for research'}, False),
        ({'data': 'CamVid', 'licence': 'CC BY 4.0, encoder of a company INC.'}, False),
        ({}, False),
    ],
)
def test_which_cards_are_non_commercial(training, expected):
    assert model_terms.is_non_commercial(training) is expected


def test_it_is_said_once():
    """In a process of its own: who has opened it before in this one has been told."""
    names = ('street', 'street', 'nyuv2_indoor', 'street')
    code = f'from mtperception.card import open_model; [open_model(name) for name in {names}]'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True, timeout=60)
    for name, line in zip(('street', 'nyuv2_indoor'), done.stderr.splitlines(), strict=True):
        assert f'{name} was trained on data for non-commercial use' in line

# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have."""

import pytest

from mtperception import cli

RUN_A_MODEL = ('demo', 'predict', 'evaluate', 'export-sequence', 'replay', 'label', 'benchmark-node')
READ_BAGS = ('demo', 'predict', 'export-sequence', 'replay')


def help_of(name, capsys):
    assert cli.main([name, '--help']) == 0
    return ' '.join(capsys.readouterr().out.split())


@pytest.mark.parametrize('name', RUN_A_MODEL)
def test_what_runs_a_model_takes_a_backend_a_device_and_a_precision(name, capsys):
    text = help_of(name, capsys)
    assert all(option in text for option in ('--model', '--backend', '--device', '--precision'))


@pytest.mark.parametrize('name', READ_BAGS)
def test_what_reads_bags_takes_a_topic(name, capsys):
    assert '--image-topic' in help_of(name, capsys)

# SPDX-License-Identifier: Apache-2.0
"""`mtperception compare`: what it refuses, before any work, and what it says of the place of the measurement."""

import json
import re

import pytest

pytest.importorskip('torch', reason='needs the extra `train`')

from rooms import write_rooms

from mtperception import cli
from mtperception.evaluation.evaluate import Evaluator
from mtperception.synthetic import SyntheticRoom


@pytest.fixture
def compare(tmp_path):
    """Runs the command on two images of the rendered room; its exit status."""
    room = SyntheticRoom(96, 72)
    write_rooms(tmp_path / 'rooms', [room.frame(seconds) for seconds in (0.0, 5.0)])

    def run(*arguments):
        data = ['--dataset', 'folder', '--root', str(tmp_path / 'rooms'), '--split', 'test', '--seconds', '0']
        return cli.main(['compare', *map(str, arguments), *data])

    return run


def test_it_says_what_it_ran_on(compare, tmp_path):
    out = tmp_path / 'out.json'
    arguments = ('--size', '96x72', '--backend', 'torch', '--device', 'auto', '--json', out)
    assert compare('nyuv2_indoor', 'nyuv2_indoor', *arguments) == 0
    content = json.loads(out.read_text(encoding='utf-8'))
    assert re.fullmatch(r'torch on (cpu|cuda:0), (fp32|fp16|bf16)', content['backend'])
    first, second = content['models']
    assert first['miou'] == second['miou']


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['nyuv2_indoor', '--size', '30000x30000'], 'size 30000x30000: expected a size of 1 to'),
        (['nyuv2_indoor', 'street', '--size', '96x72'], 'kitti_6'),
    ],
)
def test_what_it_cannot_do_is_said_before_the_work(arguments, message, compare, monkeypatch, capsys):
    monkeypatch.setattr(Evaluator, 'scores', lambda *_, **__: pytest.fail('began to score'))
    assert compare(*arguments) != 0
    assert message in capsys.readouterr().err

"""`mtperception evaluate`: a table for people, JSON for programs, one clear line for what cannot be."""

import json
import subprocess
import sys

import numpy as np
import pytest
from rooms import rooms, write_rooms

from mtperception import __version__, cli
from mtperception.data import open_dataset
from mtperception.evaluation.evaluate import evaluate
from mtperception.predictor import Predictor

BACKEND = ('--backend', 'onnxruntime', '--device', 'cpu')


@pytest.fixture(scope='module')
def samples():
    return rooms(12)


@pytest.fixture(scope='module')
def folder(samples, tmp_path_factory):
    return write_rooms(tmp_path_factory.mktemp('rooms'), samples)


def run(folder, *arguments, dataset='folder', split='test'):
    options = ('--dataset', dataset, '--root', str(folder), '--split', split)
    return cli.main(['evaluate', *options, *BACKEND, *map(str, arguments)])


def strict(constant):
    raise AssertionError(f'{constant} is not JSON')


def load(path):
    return json.loads(path.read_text(encoding='utf-8'), parse_constant=strict)


def test_metrics_go_to_the_terminal_and_to_a_file(folder, tmp_path, capsys):
    result = tmp_path / 'made' / 'result.json'
    assert run(folder, '--json', result) == 0
    expected = evaluate(Predictor('nyuv2_indoor', 'onnxruntime', 'cpu'), open_dataset('folder', folder, 'test'))
    content = load(result)
    assert content['metrics'] == pytest.approx(expected.summary())
    assert (content['mtperception'], content['command'], content['model']) == (__version__, 'evaluate', 'nyuv2_indoor')
    assert (content['frames'], content['hardware']) == (12, expected.hardware)
    assert content['iou']['wall'] == pytest.approx(expected.iou['wall'])
    assert content['iou']['toilet'] is None or content['iou']['toilet'] == 0  # there is none in the room
    assert content['protocol'] == {'dataset': 'folder', 'split': 'test', **expected.protocol}
    printed = capsys.readouterr()
    for text in ('rmse_per_image', f'{expected.summary()["rmse"]:.4f}', 'otherfurniture', 'absent'):
        assert text in printed.out
    assert printed.err == ''


def test_a_fold_is_what_training_holds_back(folder, tmp_path):
    """Of twelve images fold 1 has the last two."""
    assert run(folder, '--fold', 1, '--json', tmp_path / 'result.json') == 0
    content = load(tmp_path / 'result.json')
    assert content['frames'] == 2
    assert content['protocol']['fold'] == '1: of every hundred ids the ten from 10 on'


def test_a_metric_over_nothing_is_null(samples, tmp_path):
    unlabelled = [type(s)(s.image, np.full_like(s.labels, 255), s.depth, s.intrinsics) for s in samples[:1]]
    assert run(write_rooms(tmp_path / 'data', unlabelled), '--json', tmp_path / 'result.json') == 0
    metrics = load(tmp_path / 'result.json')['metrics']
    assert metrics['miou'] is None
    assert metrics['rmse'] > 0


def test_a_report_on_demand(folder, tmp_path, capsys):
    pytest.importorskip('matplotlib')
    pytest.importorskip('jinja2')
    assert run(folder, '--fold', 1, '--report', tmp_path / 'report') == 0
    assert (tmp_path / 'report' / 'index.html').is_file()
    assert capsys.readouterr().err == f'{tmp_path}/report/index.html: written\n'


def test_it_works_without_torch(folder):
    """As it must where only the ONNX backends are installed."""
    arguments = ['evaluate', '--dataset', 'folder', '--root', str(folder), '--split', 'test', '--fold', '1', *BACKEND]
    code = f'import sys; sys.modules["torch"] = None; from mtperception import cli; sys.exit(cli.main({arguments}))'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert 'miou' in done.stdout


@pytest.mark.parametrize(
    ('options', 'arguments', 'message'),
    [
        ({'dataset': 'nonesuch'}, [], "unknown data set 'nonesuch'"),
        ({'split': 'nonesuch'}, [], "no split 'nonesuch'"),
        ({}, ['--model', 'nonesuch'], "no model 'nonesuch'"),
        ({}, ['--fold', '2'], 'fold 2 has none of the 12 images of test: leave --fold out'),
        ({}, ['--normals-window', '4'], 'window of 4 pixels: expected an odd number'),
    ],
)
def test_what_cannot_be_is_one_clear_line(options, arguments, message, folder, capsys):
    assert run(folder, *arguments, **options) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith('error: ')
    assert message in printed.err
    assert printed.err.count('\n') == 1
    assert printed.out == ''


@pytest.mark.parametrize('arguments', [['--fold', '10'], ['--normals-window', '1'], ['--limit', '3']])
def test_wrong_usage_exits_with_2(arguments, folder):
    assert run(folder, *arguments) == 2


@pytest.mark.parametrize('missing', ['matplotlib.figure', 'jinja2'])
def test_what_a_report_lacks_is_said_before_the_work(missing, folder, tmp_path, capsys, monkeypatch):
    for name in ('report', 'plots', 'page'):
        monkeypatch.delitem(sys.modules, f'mtperception.evaluation.{name}', raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    assert run(folder, '--report', tmp_path / 'report', '--json', tmp_path / 'result.json') == 1
    assert 'pip install "mtperception[train]"' in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_report_does_not_go_among_the_images(folder, capsys):
    pytest.importorskip('matplotlib')
    assert run(folder, '--report', folder) == 1
    assert 'choose another folder' in capsys.readouterr().err

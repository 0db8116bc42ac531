# SPDX-License-Identifier: Apache-2.0
"""`mtperception evaluate`: a table for people, JSON for programs, one clear line for what cannot be."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from rooms import rooms, write_rooms

from mtperception import __version__, cli
from mtperception.cli.sharing import absolute_split
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
    assert [line for line in printed.err.splitlines() if 'non-commercial' not in line] == []


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
    assert 'choose another place' in capsys.readouterr().err


@pytest.mark.parametrize('name', ['images/mine.jpg', 'plots/thesis.pdf', 'index.html'])
def test_a_report_replaces_nothing_but_a_report(name, folder, tmp_path, capsys):
    pytest.importorskip('matplotlib')
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text('precious')
    assert run(folder, '--report', tmp_path) == 1
    assert f'holds {name.partition("/")[0]}, which is not of an earlier report' in capsys.readouterr().err
    assert mine.read_text() == 'precious'
    for _ in range(2):
        assert run(folder, '--fold', 1, '--report', tmp_path / 'report') == 0


def test_a_list_of_images_is_found_from_any_folder(folder, tmp_path, monkeypatch):
    (tmp_path / 'mine.txt').write_text((folder / 'test.txt').read_text())
    monkeypatch.chdir(tmp_path)
    assert absolute_split(folder, 'mine.txt') == str(tmp_path / 'mine.txt')
    (tmp_path / 'all').write_text('nothing')
    assert [absolute_split(folder, name) for name in ('test', 'all')] == [
        'test',
        'all',
    ]  # names that data sets may have


def command(folder, *arguments):
    options = ('--dataset', 'folder', '--root', folder, '--split', 'test', *BACKEND, *arguments)
    return [sys.executable, '-m', 'mtperception', 'evaluate', *map(str, options)]


@pytest.mark.parametrize('count', [2, 5])
def test_shards_give_the_bytes_of_one_run(folder, tmp_path, count, capsys):
    """Whichever is last merges; every later run does, too, without the images."""
    assert run(folder, '--json', tmp_path / 'whole.json') == 0
    printed = capsys.readouterr().out
    for number in range(count, 0, -1):
        assert not (tmp_path / 'merged.json').exists()
        options = ('--shard', f'{number}/{count}', '--parts', tmp_path / 'parts', '--json', tmp_path / 'merged.json')
        assert run(folder, *options) == 0
    assert (tmp_path / 'merged.json').read_bytes() == (tmp_path / 'whole.json').read_bytes()
    said = capsys.readouterr()
    assert said.out == printed
    assert said.err.count('parts are not finished yet: run the other shards') == count - 1
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / 'parts').iterdir()}
    assert run(folder, '--parts', tmp_path / 'parts', '--json', tmp_path / 'again.json') == 0
    assert (tmp_path / 'again.json').read_bytes() == (tmp_path / 'whole.json').read_bytes()
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / 'parts').iterdir()} == stamps


def test_a_shard_that_was_killed_resumes_to_the_same_bytes(folder, tmp_path):
    assert run(folder, '--json', tmp_path / 'whole.json') == 0
    parts, merged = tmp_path / 'parts', tmp_path / 'merged.json'
    shards = [command(folder, '--shard', f'{i}/2', '--parts', parts, '--json', merged) for i in (1, 2)]
    with subprocess.Popen(shards[0], stderr=subprocess.PIPE) as process:
        while not list(parts.glob('part-*')) and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        assert process.wait() == -signal.SIGKILL, process.stderr.read().decode()
    kept = {path: path.stat().st_mtime_ns for path in parts.glob('part-*')}
    assert 1 <= len(kept) < 6
    for args in shards:
        subprocess.run(args, check=True, timeout=120)
    assert merged.read_bytes() == (tmp_path / 'whole.json').read_bytes()
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_processes_divide_the_images_and_write_one_result(folder, tmp_path):
    assert run(folder, '--json', tmp_path / 'whole.json') == 0
    args = command(folder, '--parts', tmp_path / 'parts', '--json', tmp_path / 'merged.json')
    running = [subprocess.Popen(args, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    assert (tmp_path / 'merged.json').read_bytes() == (tmp_path / 'whole.json').read_bytes()
    written = (tmp_path / 'merged.json').stat()
    subprocess.run(args, check=True, timeout=120, stdout=subprocess.DEVNULL)
    assert (tmp_path / 'merged.json').stat().st_ino == written.st_ino  # not written again


def test_parts_of_something_else_are_refused(folder, tmp_path, capsys):
    assert run(folder, '--fold', 1, '--parts', tmp_path / 'parts') == 0
    assert run(folder, '--parts', tmp_path / 'parts') == 1
    assert 'images 2 instead of 12' in capsys.readouterr().err
    assert run(folder, '--fold', 1, '--normals-window', 7, '--parts', tmp_path / 'parts') == 1
    assert 'normals_window 9 instead of 7: choose another folder' in capsys.readouterr().err


def test_parts_of_another_truth_are_refused(samples, tmp_path, capsys):
    """Of the same ids, in another folder or in the same one."""
    first, second = (write_rooms(tmp_path / name, samples[:2]) for name in ('first', 'second'))
    assert run(first, '--parts', tmp_path / 'parts') == 0
    assert run(second, '--parts', tmp_path / 'parts') == 1
    assert f"root '{first}' instead of '{second}'" in capsys.readouterr().err
    write_rooms(first, samples[:2], depth_scale=0.002)
    assert run(first, '--parts', tmp_path / 'parts') == 1
    assert 'description' in capsys.readouterr().err


def test_a_folder_of_the_name_of_a_model_does_not_hide_it(folder, tmp_path, monkeypatch):
    (tmp_path / 'nyuv2_indoor').mkdir()
    monkeypatch.chdir(tmp_path)
    assert run(folder, '--model', 'nyuv2_indoor', '--fold', 1) == 0


def test_a_shard_needs_a_folder_for_its_parts(folder, capsys):
    assert run(folder, '--shard', '1/2') == 2
    assert 'expected together with --parts' in capsys.readouterr().err
    assert run(folder, '--workers', 2, '--address', 'auto') == 2
    assert '--parts' in capsys.readouterr().err


def test_bad_images_are_listed_and_the_rest_is_measured(samples, tmp_path, capsys):
    bad = write_rooms(tmp_path / 'bad', samples[:3])
    (bad / 'depth' / '1.png').write_bytes(b'no picture')
    assert run(bad, '--json', tmp_path / 'result.json') == 1
    said = capsys.readouterr().err.splitlines()
    assert said[0].startswith('1: sample 1: ')
    assert said[1] == 'error: 1 images failed: repair them or remove their ids from test'
    content = load(tmp_path / 'result.json')
    assert (content['frames'], list(content['failed'])) == (2, ['1'])


def test_a_repaired_image_is_tried_again(samples, tmp_path):
    bad = write_rooms(tmp_path / 'bad', samples[:3])
    good = (bad / 'depth' / '1.png').read_bytes()
    (bad / 'depth' / '1.png').write_bytes(b'no picture')
    arguments = (bad, '--parts', tmp_path / 'parts', '--json', tmp_path / 'result.json')
    assert run(*arguments) == 1
    assert run(*arguments) == 1
    (bad / 'depth' / '1.png').write_bytes(good)
    assert run(*arguments) == 0
    assert load(tmp_path / 'result.json')['frames'] == 3

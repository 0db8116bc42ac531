# SPDX-License-Identifier: Apache-2.0
"""Workers on a Ray of this machine: the same as in one process, whoever is killed."""

import logging
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rooms import rooms, write_rooms
from tiny_job import BAD, ITEMS, run

from mtperception import cli
from mtperception.scale.workers import Workers

TESTS = Path(__file__).resolve().parents[1]
PATHS = os.pathsep.join(map(str, (TESTS.parent, TESTS)))


def environment():
    """Of now: a Ray that was started has put its token there."""
    return {**os.environ, 'PYTHONPATH': PATHS}


def parts(folder):
    """Bytes of the finished parts, by name."""
    return {path.name: path.read_bytes() for path in sorted((folder / 'parts').glob('part-*'))}


def noted(folder, name):
    path = folder / name
    return path.read_text().split() if path.exists() else []


@pytest.fixture(scope='module')
def cluster():
    """The address of a Ray that outlives its drivers."""
    ray = pytest.importorskip('ray', reason='pip install "mtperception[ray]"')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', PATHS)  # of the workers of all drivers
        context = ray.init(
            address='local',
            num_cpus=4,
            include_dashboard=False,
            object_store_memory=100 * 2**20,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    yield context.address_info['gcs_address']
    ray.shutdown()


@pytest.fixture(scope='module')
def expected(tmp_path_factory):
    """What one process makes, without Ray."""
    folder = tmp_path_factory.mktemp('one')
    code = (
        'import sys; sys.modules["ray"] = None; import tiny_job as t, pathlib; t.run(pathlib.Path(sys.argv[1]), None)'
    )
    subprocess.run([sys.executable, '-c', code, str(folder)], check=True, env=environment())
    return parts(folder)


def test_without_ray_one_worker_does_all(expected):
    assert len(expected) == ITEMS - 1


@pytest.mark.parametrize('count', [1, 2])
def test_workers_make_the_same_bytes(tmp_path, cluster, expected, count):
    outcomes = run(tmp_path, Workers(count))
    assert parts(tmp_path) == expected
    assert sorted(int(outcome.item) for outcome in outcomes) == list(range(ITEMS))
    assert [(outcome.item, outcome.failed) for outcome in outcomes if outcome.failed] == [(BAD, 'seven is bad')]
    assert len(set(noted(tmp_path, 'pids'))) == count
    assert sorted(map(int, noted(tmp_path, 'done'))) == [item for item in range(ITEMS) if str(item) != BAD]


def test_whoever_is_killed_at_random_moments_all_is_done_once(tmp_path, cluster, expected):
    """Five times the driver, which is started again, and in its last life five times a worker."""
    moments = random.Random(4)
    command = [sys.executable, str(TESTS / 'tiny_job.py'), str(tmp_path), cluster]
    for _ in range(5):
        with subprocess.Popen(command, env=environment(), stderr=subprocess.DEVNULL) as driver:
            begun = len(noted(tmp_path, 'pids'))
            wait_for(lambda begun=begun: len(noted(tmp_path, 'pids')) > begun or driver.poll() is not None)
            time.sleep(moments.uniform(0, 0.15))
            driver.kill()
    with subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE) as driver:
        killed = set(noted(tmp_path, 'pids'))
        for _ in range(5):
            wait_for(lambda: set(noted(tmp_path, 'pids')) - killed or driver.poll() is not None)
            time.sleep(moments.uniform(0, 0.05))
            for pid in set(noted(tmp_path, 'pids')) - killed:
                killed.add(pid)
                if driver.poll() is None:
                    os.kill(int(pid), signal.SIGKILL)
        assert driver.wait(timeout=120) == 0, driver.stderr.read().decode()
    assert parts(tmp_path) == expected
    done = noted(tmp_path, 'done')
    assert len(done) == len(set(done))  # nothing was done twice


BACKEND = ('--model', 'nyuv2_indoor', '--backend', 'onnxruntime', '--device', 'cpu')


def test_workers_label_to_the_same_bytes(tmp_path, cluster, capsys):
    """A bad image costs itself only."""
    source = write_rooms(tmp_path / 'source', rooms(5), depth=None)
    (source / 'rgb' / '3.png').write_bytes(b'no picture')
    for name, more in (('one', ()), ('many', ('--workers', '2'))):
        out = ('--out', str(tmp_path / name), '--split', 'test', '--task', 'depth', '--camera-height', '1.5')
        assert cli.main(['label', str(source), *BACKEND, *out, '--dry-run', *more]) == 0
        assert not (tmp_path / name).exists()
        assert cli.main(['label', str(source), *BACKEND, *out, *more]) == 1
        said = capsys.readouterr()
        assert said.out.startswith('5 images: 0 are labelled, 5 would get depth by')
        assert '4 images labelled' in said.err
        assert 'error: 1 images failed' in said.err
    one, many = (
        {path.name: path.read_bytes() for path in (tmp_path / x).rglob('*') if path.is_file()} for x in ('one', 'many')
    )
    assert one == many
    assert len(one) == 5


def test_workers_evaluate_to_the_same_bytes(tmp_path, cluster, capsys):
    source = write_rooms(tmp_path / 'source', rooms(6))
    options = ['evaluate', *BACKEND, '--dataset', 'folder', '--root', str(source), '--split', 'test']
    assert cli.main([*options, '--workers', '2', '--dry-run']) == 0
    assert capsys.readouterr().out == '6 images in 6 parts: 0 parts are done, 6 would be done by 2 workers\n'
    assert cli.main([*options, '--json', str(tmp_path / 'one.json')]) == 0
    assert cli.main([*options, '--json', str(tmp_path / 'many.json'), '--workers', '2']) == 0
    assert (tmp_path / 'many.json').read_bytes() == (tmp_path / 'one.json').read_bytes()


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)

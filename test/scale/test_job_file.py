# SPDX-License-Identifier: Apache-2.0
"""Claims: nobody holds what another one holds, and the dead hold nothing."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mtperception.scale.job_file import JobError, JobFile

RECORD = {'model': 'a', 'images': 3}
ENVIRONMENT = {**os.environ, 'PYTHONPATH': str(Path(__file__).resolve().parents[2])}
HOLDER = """
import sys, time
from pathlib import Path
from mtperception.scale.job_file import JobFile
with JobFile(Path(sys.argv[1]), {'model': 'a', 'images': 3}) as job, job.claim('item') as held:
    print(held, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process, which holds `item`."""
    command = [sys.executable, '-c', HOLDER, str(tmp_path / 'job.json')]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as process:
        assert process.stdout.readline() == 'True\n'
        yield process
        process.kill()


def test_what_another_process_holds_is_refused_until_it_is_killed(tmp_path, holder):
    with JobFile(tmp_path / 'job.json', RECORD) as job:
        with job.claim('item') as held, job.claim('other') as other:
            assert (held, other) == (False, True)
        os.kill(holder.pid, signal.SIGKILL)
        with job.claim('item', wait=True) as held:
            assert held


def test_waiting_ends_when_the_holder_is_killed(tmp_path, holder):
    killed = []

    def kill():
        time.sleep(0.3)
        killed.append(time.monotonic())
        os.kill(holder.pid, signal.SIGKILL)

    with JobFile(tmp_path / 'job.json', RECORD) as job:
        threading.Thread(target=kill).start()
        with job.claim('item', wait=True) as held:
            assert held
            assert time.monotonic() >= killed[0]


@pytest.mark.parametrize('number', [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_costs_double_work_at_most(number, tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, 'fcntl', refuse)
    with JobFile(tmp_path / 'job.json', RECORD) as job, JobFile(tmp_path / 'job.json', RECORD) as other:
        assert list(job.divide('ab', lambda _: False)) == list(other.divide('ab', lambda _: False)) == ['a', 'b']
    assert [record.message.partition(' has ')[2][:9] for record in caplog.records] == ['no locks ', 'no locks ']


def test_names_may_be_of_any_bytes(tmp_path):
    with JobFile(tmp_path / 'job.json', RECORD) as job, job.claim(os.fsdecode(b'caf\xe9.jpg')) as held:
        assert held


def test_two_objects_of_a_process_exclude_each_other(tmp_path):
    with JobFile(tmp_path / 'job.json', RECORD) as first:
        with JobFile(tmp_path / 'job.json', RECORD) as second:
            with first.claim('a') as a, second.claim('a') as again:
                assert (a, again) == (True, False)
            with second.claim('a') as free:
                assert free
        # Closing the second has let nothing go.
        with JobFile(tmp_path / 'job.json', RECORD) as third, first.claim('a'), third.claim('a') as held:
            assert not held


def test_the_record_is_kept_and_compared(tmp_path):
    path = tmp_path / 'job.json'
    JobFile(path, RECORD).close()
    assert json.loads(path.read_text()) == RECORD
    written = path.read_bytes()
    JobFile(path, RECORD).close()
    with pytest.raises(JobError, match=r"made with model 'a' instead of 'b': choose another folder"):
        JobFile(path, {**RECORD, 'model': 'b'})
    assert path.read_bytes() == written


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / 'job.json').write_text('[]')
    with pytest.raises(JobError, match='not readable as a JSON object'):
        JobFile(tmp_path / 'job.json', RECORD)


def test_a_process_that_died_before_it_wrote_the_record_leaves_nothing(tmp_path):
    (tmp_path / 'job.json').touch()
    JobFile(tmp_path / 'job.json', RECORD).close()
    assert json.loads((tmp_path / 'job.json').read_text()) == RECORD

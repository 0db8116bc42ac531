# SPDX-License-Identifier: Apache-2.0
"""Exports are there completely or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from ended_process import ended_process
from full_disk import largest_file

from mtperception.atomic_write import (
    atomic_entries,
    atomic_file,
    atomic_folder,
    write_json_atomically,
    write_text_atomically,
)
from mtperception.errors import SourceError, WriteError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_folder(out, text, failure=None):
    with atomic_folder(out, ('a', 'b')) as part:
        (part / 'a').mkdir()
        (part / 'a' / 'x').write_text(text)
        if failure:
            raise failure


def test_a_file_appears_when_it_is_complete(tmp_path):
    out = tmp_path / 'made' / 'x.klg'
    with atomic_file(out) as part:
        part.write_text('new')
        assert not out.exists()
    assert out.read_text() == 'new'
    assert names(out.parent) == ['x.klg']


def test_a_folder_replaces_an_earlier_one(tmp_path):
    out = tmp_path / 'out'
    out.mkdir()  # an empty one is replaced too
    write_folder(out, 'old')
    (out / 'b').write_text('only in the old one')
    write_folder(out, 'new')
    assert names(tmp_path) == ['out']
    assert names(out) == ['a']
    assert (out / 'a' / 'x').read_text() == 'new'


@pytest.mark.parametrize('failure', [ValueError, KeyboardInterrupt])
def test_after_a_failure_the_earlier_one_is_still_there(tmp_path, failure):
    out = tmp_path / 'out'
    write_folder(out, 'old')
    with pytest.raises(failure):
        write_folder(out, 'new', failure=failure)
    assert names(tmp_path) == ['out']
    assert (out / 'a' / 'x').read_text() == 'old'


def test_what_was_killed_half_way_is_no_obstacle(tmp_path):
    ended = ended_process()
    (tmp_path / f'.out.part{ended}').mkdir()
    (tmp_path / f'.out.part{ended}' / 'b').write_text('half')
    (tmp_path / f'.x.part{ended}').write_text('half')
    write_folder(tmp_path / 'out', 'new')
    with atomic_file(tmp_path / 'x') as part:
        part.write_text('new')
    assert names(tmp_path) == ['out', 'x']
    assert names(tmp_path / 'out') == ['a']


def test_what_is_only_called_like_it_stays(tmp_path):
    for name in ('.x.partial', '.x.part1.bak', '.xy.part1', f'.x.part{os.getppid()}'):
        (tmp_path / name).write_text('of somebody')
    before = names(tmp_path)
    write_text_atomically(tmp_path / 'x', 'new')
    assert names(tmp_path) == [*before, 'x']


def test_a_file_that_is_not_written_leaves_the_old_one(tmp_path):
    (tmp_path / 'x.mp4').write_text('old')
    with atomic_file(tmp_path / 'x.mp4') as part:
        assert part.suffix == '.mp4'
    assert (tmp_path / 'x.mp4').read_text() == 'old'


def test_a_folder_with_anything_else_is_left_alone(tmp_path):
    write_folder(tmp_path / 'out', 'old')
    (tmp_path / 'out' / 'thesis.tex').write_text('precious')
    with pytest.raises(ValueError, match=r'out holds thesis.tex, which this export does not write'):
        write_folder(tmp_path / 'out', 'new')
    assert names(tmp_path / 'out') == ['a', 'thesis.tex']


def test_a_file_and_a_folder_do_not_replace_each_other(tmp_path):
    (tmp_path / 'folder').mkdir()
    (tmp_path / 'file').write_text('')
    with pytest.raises(ValueError, match='folder is a folder: expected the name of a file'):
        write_text_atomically(tmp_path / 'folder', 'new')
    with pytest.raises(ValueError, match='file is a file: this format writes a folder'):
        write_folder(tmp_path / 'file', 'new')
    assert names(tmp_path) == ['file', 'folder']


def write_entries(out, text):
    with atomic_entries(out) as part:
        for folder in ('images', 'plots'):
            (part / folder).mkdir()
            (part / folder / text[:3]).write_text(text)
        (part / 'index.html').write_text(text)


class TestEntries:
    def test_they_replace_their_like_and_leave_others_alone(self, tmp_path):
        write_entries(tmp_path / 'out', 'old')
        (tmp_path / 'out' / 'thesis.tex').write_text('precious')
        write_entries(tmp_path / 'out', 'new')
        assert names(tmp_path) == ['out']
        assert names(tmp_path / 'out') == ['images', 'index.html', 'plots', 'thesis.tex']
        assert names(tmp_path / 'out' / 'images') == ['new']
        assert (tmp_path / 'out' / 'index.html').read_text() == 'new'

    @pytest.mark.parametrize('before', [[], ['old']])
    def test_a_full_disk_leaves_what_was_there(self, tmp_path, before):
        out = tmp_path / 'out'
        for text in before:
            write_entries(out, text)
        with largest_file(1000), pytest.raises(WriteError, match=f'^{out}: cannot be written: File too large'):
            write_entries(out, 'new' * 1000)
        assert names(tmp_path) == ['out'] * len(before)
        assert [path.read_text() for path in out.rglob('*') if path.is_file()] == before * 3

    def test_a_file_is_in_the_way(self, tmp_path):
        (tmp_path / 'out').write_text('')
        with pytest.raises(ValueError, match='out is a file: expected the name of a folder'):
            write_entries(tmp_path / 'out', 'new')


@pytest.mark.parametrize('interruption', [KeyboardInterrupt, SystemExit, GeneratorExit])
@pytest.mark.parametrize(('keep', 'expected'), [(False, []), (True, ['x'])])
def test_what_there_is_of_an_endless_stream_is_kept(tmp_path, interruption, keep, expected):
    with pytest.raises(interruption), atomic_file(tmp_path / 'x', keep_interrupted=keep) as part:  # noqa: PT012
        part.write_text('so far')
        raise interruption
    assert names(tmp_path) == expected


def test_a_link_stays_one(tmp_path):
    (tmp_path / 'there').write_text('old')
    (tmp_path / 'link').symlink_to(tmp_path / 'there')
    write_text_atomically(tmp_path / 'link', 'new')
    assert (tmp_path / 'link').is_symlink()
    assert (tmp_path / 'there').read_text() == 'new'


def test_a_pipe_or_device_is_written_to(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    reader = os.open(tmp_path / 'pipe', os.O_RDONLY | os.O_NONBLOCK)
    write_json_atomically(tmp_path / 'pipe', {'a': 1})
    assert os.read(reader, 100) == b'{\n "a": 1\n}\n'
    os.close(reader)
    assert names(tmp_path) == ['pipe']


class TestFullDisk:
    """Errors name the file that was asked for, not the hidden one beside it."""

    def test_of_a_device(self):
        with pytest.raises(WriteError, match=r'^/dev/full: cannot be written: No space left on device: '):
            write_text_atomically(Path('/dev/full'), 'new')

    @pytest.mark.parametrize('write', [write_text_atomically, write_folder])
    def test_leaves_what_was_there(self, tmp_path, write):
        out = tmp_path / 'out'
        write(out, 'old')
        with largest_file(1000), pytest.raises(WriteError, match=f'^{out}: cannot be written: File too large'):
            write(out, 'new' * 1000)
        assert names(tmp_path) == ['out']
        assert (out / 'a' / 'x' if out.is_dir() else out).read_text() == 'old'

    def test_of_a_file_in_the_way(self, tmp_path):
        (tmp_path / 'note.txt').write_text('here')
        with pytest.raises(WriteError, match=f'^{tmp_path}/note.txt/out: cannot be written: File exists'):
            write_text_atomically(tmp_path / 'note.txt' / 'out', 'new')


@pytest.mark.parametrize(
    'error',
    [SourceError('a.png: cut off'), FileNotFoundError(2, 'No such file', 'a.png'), OSError('odd'), ValueError()],
)
def test_errors_of_what_is_read_pass_as_they_are(tmp_path, error):
    with pytest.raises(type(error)) as raised, atomic_file(tmp_path / 'x'):
        raise error
    assert raised.value is error


def test_a_name_relative_to_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with atomic_file(tmp_path.joinpath('sub', '..', 'x')) as part:
        part.write_text('new')
    assert names(tmp_path) == ['x']


@pytest.mark.parametrize('kind', ['file', 'folder'])
def test_of_two_processes_that_write_the_same_the_last_one_is_there_whole(tmp_path, kind):
    """Each begins while the other is at work."""
    code = (
        'import sys; from pathlib import Path; from mtperception.atomic_write import atomic_file, atomic_folder\n'
        'out, name = Path(sys.argv[1]), sys.argv[2]\n'
        'with (atomic_file(out) if sys.argv[3] == "file" else atomic_folder(out, ["a", "b"])) as part:\n'
        '    first, second = (part, part) if sys.argv[3] == "file" else (part / "a", part / "b")\n'
        '    first.write_text(name); print(flush=True); input()\n'
        '    second.open("a").write(name)\n'
    )
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'text': True}
    out = tmp_path / 'out'
    started = [subprocess.Popen([sys.executable, '-c', code, out, name, kind], **pipes) for name in ('one', 'two')]
    for process in started:
        process.stdout.readline()
    for process, name in zip(started, ('one', 'two'), strict=True):
        process.communicate('\n', timeout=60)
        assert process.returncode == 0
        if kind == 'file':
            assert out.read_text() == name * 2
        else:
            assert {path.name: path.read_text() for path in out.iterdir()} == {'a': name, 'b': name}
    assert [path.name for path in tmp_path.iterdir()] == ['out']

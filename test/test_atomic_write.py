"""Exports are there completely or not at all."""

import pytest

from mtperception.atomic_write import written_aside


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def write_folder(out, text, failure=None):
    with written_aside(out, ('a', 'b')) as part:
        (part / 'a').mkdir()
        (part / 'a' / 'x').write_text(text)
        if failure:
            raise failure


def test_a_file_appears_when_it_is_complete(tmp_path):
    out = tmp_path / 'made' / 'x.klg'
    with written_aside(out) as part:
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
    (tmp_path / '.out.part').mkdir()
    (tmp_path / '.out.part' / 'b').write_text('half')
    (tmp_path / '.x.part').write_text('half')
    write_folder(tmp_path / 'out', 'new')
    with written_aside(tmp_path / 'x') as part:
        part.write_text('new')
    assert names(tmp_path) == ['out', 'x']
    assert names(tmp_path / 'out') == ['a']


def test_a_file_that_is_not_written_leaves_the_old_one(tmp_path):
    (tmp_path / 'x.mp4').write_text('old')
    with written_aside(tmp_path / 'x.mp4') as part:
        assert part.suffix == '.mp4'
    assert (tmp_path / 'x.mp4').read_text() == 'old'


def test_a_folder_with_anything_else_is_left_alone(tmp_path):
    write_folder(tmp_path / 'out', 'old')
    (tmp_path / 'out' / 'thesis.tex').write_text('precious')
    with pytest.raises(ValueError, match=r'out holds thesis.tex, which is not of such an export'):
        write_folder(tmp_path / 'out', 'new')
    assert names(tmp_path / 'out') == ['a', 'thesis.tex']


@pytest.mark.parametrize(('entries', 'problem'), [((), 'is a folder: this format'), (('a',), 'is a file')])
def test_a_file_and_a_folder_do_not_replace_each_other(tmp_path, entries, problem):
    out = tmp_path / 'out'
    out.write_text('') if entries else out.mkdir()
    with pytest.raises(ValueError, match=problem), written_aside(out, entries):
        pass
    assert names(tmp_path) == ['out']


def test_a_name_relative_to_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with written_aside(tmp_path.joinpath('sub', '..', 'x')) as part:
        part.write_text('new')
    assert names(tmp_path) == ['x']

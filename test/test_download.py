# SPDX-License-Identifier: Apache-2.0
"""Downloading, from a real server on this machine."""

import hashlib
import io
import socket
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from ended_process import ended_process

from mtperception.download import DownloadError, RemoteFile, fetch

CONTENT = np.random.default_rng(0).integers(0, 256, 3_000_000, np.uint8).tobytes()
MD5 = hashlib.md5(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves `server.files`, with ranges where `server.ranges`; stops and waits after `server.stall_after` bytes."""

    def do_GET(self):
        content = self.server.files.get(self.path)
        self.server.asked.append(self.headers.get('Range'))
        if content is None:
            self.send_error(404)
            return
        start = self.start(len(content))
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header('Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}')
        self.send_header('Content-Length', str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : self.server.stall_after])
        self.wfile.flush()
        if self.server.stall_after is not None:
            self.server.resume.wait(30)

    def start(self, length):
        asked = self.headers.get('Range') if self.server.ranges else None
        return int(asked.removeprefix('bytes=').removesuffix('-')) if asked else 0

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        server.files = {'/data.bin': CONTENT}
        server.asked = []
        server.ranges, server.stall_after, server.resume = True, None, threading.Event()
        server.url = f'http://127.0.0.1:{server.server_port}'
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.resume.set()
        server.shutdown()


def archive(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as out:
        for name, content in members.items():
            out.writestr(name, content)
    return buffer.getvalue()


def test_a_file_arrives_whole_and_is_not_fetched_again(server, tmp_path):
    file = RemoteFile(f'{server.url}/data.bin', 'inner', len(CONTENT), MD5)
    assert fetch(file, tmp_path)
    assert (tmp_path / 'inner' / 'data.bin').read_bytes() == CONTENT
    assert not list(tmp_path.rglob('*.part*'))
    assert not fetch(file, tmp_path)
    assert server.asked == [None]


def test_a_download_that_was_killed_goes_on_where_it_stopped(server, tmp_path):
    server.stall_after = 2_000_000
    file = RemoteFile(f'{server.url}/data.bin', size=len(CONTENT), md5=MD5)
    code = (
        'import sys; from pathlib import Path; from mtperception.download import RemoteFile, fetch;'
        f'fetch(RemoteFile({file.url!r}), Path(sys.argv[1]))'
    )
    process = subprocess.Popen([sys.executable, '-c', code, str(tmp_path)])
    part = tmp_path / 'data.bin.part'
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    have = part.stat().st_size
    assert 0 < have < len(CONTENT)
    assert not (tmp_path / 'data.bin').exists()
    server.stall_after = None
    assert fetch(file, tmp_path)
    assert (tmp_path / 'data.bin').read_bytes() == CONTENT
    assert server.asked == [None, f'bytes={have}-']


def test_a_connection_that_breaks_says_so_and_the_rest_comes_later(server, tmp_path):
    server.stall_after = 1_500_000
    server.resume.set()  # the server closes the connection half-way
    file = RemoteFile(f'{server.url}/data.bin', md5=MD5)
    with pytest.raises(DownloadError, match=r'connection broke after 1500000 of 3000000 bytes; run the command again'):
        fetch(file, tmp_path)
    server.stall_after = None
    assert fetch(file, tmp_path)
    assert (tmp_path / 'data.bin').read_bytes() == CONTENT


def test_a_server_without_ranges_sends_it_all_again(server, tmp_path):
    server.ranges = False
    (tmp_path / 'data.bin.part').write_bytes(b'something else')
    assert fetch(RemoteFile(f'{server.url}/data.bin', md5=MD5), tmp_path)
    assert (tmp_path / 'data.bin').read_bytes() == CONTENT


def test_all_was_there_but_the_last_step(server, tmp_path):
    """Killed between the last byte and the renaming: nothing is left to ask for (416)."""
    (tmp_path / 'data.bin.part').write_bytes(CONTENT)
    assert fetch(RemoteFile(f'{server.url}/data.bin', md5=MD5), tmp_path)
    assert (tmp_path / 'data.bin').read_bytes() == CONTENT


@pytest.mark.parametrize(
    ('wrong', 'problem'),
    [({'md5': '0' * 32}, f'MD5 {MD5}: expected 0000'), ({'size': 17}, 'expected the 17 of')],
)
def test_what_is_not_as_published_is_not_kept(server, tmp_path, wrong, problem):
    with pytest.raises(DownloadError, match=problem):
        fetch(RemoteFile(f'{server.url}/data.bin', **wrong), tmp_path)
    assert not list(tmp_path.glob('data.bin*'))


def test_a_file_of_another_size_that_is_there_is_not_taken_for_it(server, tmp_path):
    (tmp_path / 'data.bin').write_bytes(b'short')
    with pytest.raises(DownloadError, match='5 bytes: expected the 3000000'):
        fetch(RemoteFile(f'{server.url}/data.bin', size=len(CONTENT)), tmp_path)


def test_errors_of_the_server_and_of_the_network(server, tmp_path):
    with pytest.raises(DownloadError, match=r'/other\.bin: the server returned 404'):
        fetch(RemoteFile(f'{server.url}/other.bin'), tmp_path)
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))  # nobody listens
        url = f'http://127.0.0.1:{taken.getsockname()[1]}/data.bin'
        with pytest.raises(DownloadError, match='refused'):
            fetch(RemoteFile(url), tmp_path)


def test_an_archive_is_unpacked_as_far_as_wanted_and_not_kept(server, tmp_path):
    server.files['/set.zip'] = archive({'top/a.png': b'a', 'top/b.txt': b'b', 'top/deep/c.png': b'cc', 'd.png': b'd'})
    file = RemoteFile(f'{server.url}/set.zip', 'raw', members=('top/*.png',))
    assert fetch(file, tmp_path)
    found = {str(path.relative_to(tmp_path)): path.read_bytes() for path in tmp_path.rglob('*') if path.is_file()}
    receipt = b'top/a.png\ntop/deep/c.png\n'
    assert found == {'raw/top/a.png': b'a', 'raw/top/deep/c.png': b'cc', '.downloaded/set.zip': receipt}
    assert not fetch(file, tmp_path)
    assert len(server.asked) == 1


def test_what_was_removed_since_it_was_unpacked_comes_again(server, tmp_path):
    server.files['/set.zip'] = archive({'a.png': b'aa', 'b.png': b'bb'})
    file = RemoteFile(f'{server.url}/set.zip', members=('*',))
    assert fetch(file, tmp_path)
    (tmp_path / 'b.png').unlink()
    assert fetch(file, tmp_path)
    assert (tmp_path / 'b.png').read_bytes() == b'bb'
    assert not fetch(file, tmp_path)


def test_unpacking_goes_on_after_an_interruption(server, tmp_path):
    server.files['/set.zip'] = archive({'a.png': b'aa', 'b.png': b'bb'})
    (tmp_path / 'a.png').write_bytes(b'aa')
    (tmp_path / f'.b.part{ended_process()}.png').write_bytes(b'b')
    assert fetch(RemoteFile(f'{server.url}/set.zip', members=('*',)), tmp_path)
    assert (tmp_path / 'b.png').read_bytes() == b'bb'
    assert not list(tmp_path.rglob('*.part*'))


def damaged():
    content = archive({'a.png': b'0123456789'})
    return content.replace(b'0123456789', b'0123X56789')


@pytest.mark.parametrize(
    ('content', 'problem'),
    [
        (b'no archive', 'not a sound zip file'),
        (damaged(), 'not a sound zip file'),
        (archive({'b.txt': b'b'}), r'has no members \*\.png'),
        (archive({'../../evil.png': b'e'}), 'would be written outside'),
    ],
)
def test_archives_that_are_not_what_they_should_be(server, tmp_path, content, problem):
    server.files['/set.zip'] = content
    root = tmp_path / 'deep' / 'root'
    with pytest.raises(DownloadError, match=problem):
        fetch(RemoteFile(f'{server.url}/set.zip', members=('*.png',)), root)
    assert not (root / '.downloaded' / 'set.zip').exists()
    assert not list(tmp_path.rglob('*.png'))


def test_progress_runs_to_the_total(server, tmp_path):
    seen = []

    @contextmanager
    def progress(description, total):
        seen.append((description, total, []))
        yield seen[-1][2].append

    server.files['/set.zip'] = archive({'a.png': bytes(5), 'b.png': bytes(7)})
    fetch(RemoteFile(f'{server.url}/data.bin'), tmp_path, progress)
    fetch(RemoteFile(f'{server.url}/set.zip', members=('*',)), tmp_path, progress)
    assert [(description, total) for description, total, _ in seen] == [
        ('data.bin', 3_000_000),
        ('set.zip', len(server.files['/set.zip'])),
        ('unpacking set.zip', 12),
    ]
    for _, total, steps in seen:
        assert steps == sorted(steps)
        assert steps[-1] == total

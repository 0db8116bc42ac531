# SPDX-License-Identifier: Apache-2.0
"""Downloading files: resumed where it stopped, checked, and put in place only when complete."""

import hashlib
import http.client
import shutil
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen
from zipfile import BadZipFile, ZipFile, ZipInfo

from mtperception.atomic_write import atomic_file, write_errors, write_text_atomically
from mtperception.errors import MTPerceptionError, WriteError

CHUNK = 1 << 20
TIMEOUT_S = 60.0
"""How long a server may be silent."""
RECEIPTS = '.downloaded'
"""Folder in that folder with a file for each archive that was unpacked: the names of what it held, in lines."""
ONCE = '.incoming'
"""Folder of what is fetched to be used once."""

Progress = Callable[[str, float | None], AbstractContextManager[Callable[[float], None]]]
"""Shows one piece of work: its description and its total in bytes give a function that takes how much is done."""


class DownloadError(MTPerceptionError, ValueError):
    """A file that could not be downloaded, or is not what was expected; the message says what to do."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a data set or model on the web."""

    url: str
    folder: str = '.'
    """Where it goes or is unpacked to, relative to the folder that it is for."""
    size: int | None = None
    """Bytes, where known."""
    md5: str = ''
    """Where one is published. A zip file has checksums of its members in itself."""
    sha256: str = ''
    git_blob: str = ''
    """The id that git gives the content: the SHA-1 of `blob <bytes>`, a zero byte and the content."""
    members: tuple[str, ...] = ()
    """Patterns of what to unpack from a zip file, which is not kept; none for a file that stays as it is."""

    @property
    def name(self) -> str:
        """The file's name."""
        return PurePosixPath(urlsplit(self.url).path).name


@contextmanager
def no_progress(description: str, total: float | None) -> Iterator[Callable[[float], None]]:
    """A `Progress` that shows nothing."""
    yield lambda done: None


def fetch(file: RemoteFile, root: Path, progress: Progress = no_progress) -> bool:
    """Bring a file into a data set's folder. What was interrupted resumes where it stopped.

    Args:
        file: what to fetch.
        root: the data set's folder; created if missing.
        progress: shows the transfer and the unpacking.

    Returns:
        False if it already exists.

    Raises:
        DownloadError: if the server fails, the connection breaks, or what came is not what was expected.
        WriteError: if it cannot be written.
    """
    folder = root / file.folder
    place = root / RECEIPTS / file.name if file.members else folder / file.name
    if place.exists() and not (file.members and _missing(folder, place)):
        _check_size(file, place)
        return False
    for needed in (folder, place.parent):
        needed.mkdir(parents=True, exist_ok=True)
    part = root / f'{file.name}.part'
    _transfer(file, part, progress)
    _check(file, part)
    if file.members:
        names = _unpack(file, part, folder, progress)
        write_text_atomically(place, '\n'.join(names) + '\n')
        part.unlink()
    else:
        part.replace(place)
    return True


@contextmanager
def fetched_for_once(file: RemoteFile, root: Path, progress: Progress = no_progress) -> Iterator[Path]:
    """A file that is not to be kept: fetched into a folder of its own in `root`, checked, and removed in the end.

    What was interrupted resumes; a file of the same name in `root` is somebody else's.

    Raises:
        DownloadError, WriteError: as `fetch`.
    """
    folder = root / ONCE
    path = folder / file.name
    try:
        fetch(file, folder, progress)
        check_digests(file, path)
        yield path
    finally:
        path.unlink(missing_ok=True)
        with suppress(OSError):  # it holds a part of a file that is still to come
            folder.rmdir()


def _transfer(file: RemoteFile, part: Path, progress: Progress) -> None:
    """Append to `part` what it lacks of the file."""
    offset = part.stat().st_size if part.exists() else 0
    if offset and offset == file.size:
        return
    headers = {'User-Agent': 'mtperception'} | ({'Range': f'bytes={offset}-'} if offset else {})
    try:
        with urlopen(Request(file.url, headers=headers), timeout=TIMEOUT_S) as response:
            if not response.headers.get('Content-Range', '').startswith(f'bytes {offset}-'):
                offset = 0  # the server sends all of it
            _receive(file, response, part, offset, progress)
    except WriteError:
        raise
    except HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
            return  # there is nothing after what we have
        raise DownloadError(f'{file.url}: the server returned {error.code} {error.reason}') from error
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f'{file.url}: {_broken(file.url, error)}, then run the command again to resume') from error


def _broken(url: str, error: Exception) -> str:
    """What became of a connection, and what to check."""
    reason = getattr(error, 'reason', error)
    host = urlsplit(url).hostname
    if not host:
        return f'cannot be read ({reason}): check the address'
    detail = '' if isinstance(reason, socket.gaierror) else f' ({getattr(reason, "strerror", None) or reason})'
    return f'no connection to {host}{detail}: check the network'


def _receive(file: RemoteFile, response: http.client.HTTPResponse, part: Path, offset: int, progress: Progress) -> None:
    """Write a response's body to `part` from `offset` on."""
    length = response.headers.get('Content-Length')
    total = None if length is None else offset + int(length)
    done = offset
    with write_errors(part), part.open('ab' if offset else 'wb') as out, progress(file.name, total) as show:
        while block := response.read(CHUNK):
            out.write(block)
            done += len(block)
            show(done)
    if total is not None and done < total:
        raise DownloadError(
            f'{file.url}: the connection broke after {done} of {total} bytes; run the command again to resume'
        )


def _check(file: RemoteFile, part: Path) -> None:
    """Check what was transferred; what is wrong is removed."""
    try:
        _check_size(file, part)
        check_digests(file, part)
    except DownloadError:
        part.unlink()
        raise


def _check_size(file: RemoteFile, path: Path) -> None:
    if file.size is not None and not file.members and path.stat().st_size != file.size:
        raise DownloadError(
            f'{path}: {path.stat().st_size} bytes: expected the {file.size} of {file.url}; delete it and try again'
        )


def check_digests(file: RemoteFile, path: Path) -> None:
    """Check that a file's content is what the digests of `file` say.

    Raises:
        DownloadError: if not.
    """
    for name, expected, start in (
        ('MD5', file.md5, hashlib.md5(usedforsecurity=False)),
        ('SHA-256', file.sha256, hashlib.sha256()),
        ('git blob', file.git_blob, hashlib.sha1(b'blob %d\0' % path.stat().st_size, usedforsecurity=False)),
    ):
        if expected and (found := _digest(path, start)) != expected.lower():
            raise DownloadError(
                f'{file.url}: {name} {found}: expected {expected}: damaged or replaced; run the command again'
            )


def _digest(path: Path, digest: 'hashlib._Hash') -> str:
    with path.open('rb') as content:
        while block := content.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


def _missing(folder: Path, receipt: Path) -> bool:
    """Whether something that an archive held was removed since it was unpacked."""
    return not all((folder / name).is_file() for name in receipt.read_text(encoding='utf-8').splitlines())


def _unpack(file: RemoteFile, archive: Path, folder: Path, progress: Progress) -> list[str]:
    """Unpack the members that are wanted; their names. An archive that is damaged is removed."""
    try:
        with ZipFile(archive) as source:
            wanted = [entry for entry in source.infolist() if _is_wanted(entry, file.members)]
            if not wanted:
                raise DownloadError(f'{file.url}: has no members {", ".join(file.members)}: its layout has changed')
            with progress(f'unpacking {file.name}', sum(entry.file_size for entry in wanted)) as show:
                done = 0
                for entry in wanted:
                    _unpack_member(source, entry, folder)
                    done += entry.file_size
                    show(done)
            return [entry.filename for entry in wanted]
    except (BadZipFile, zlib.error, EOFError) as error:
        archive.unlink()
        raise DownloadError(f'{file.url}: not a sound zip file ({error}); run the command again') from error


def _is_wanted(entry: ZipInfo, patterns: tuple[str, ...]) -> bool:
    return not entry.is_dir() and any(fnmatch(entry.filename, pattern) for pattern in patterns)


def _unpack_member(source: ZipFile, entry: ZipInfo, folder: Path) -> None:
    target = (folder / entry.filename).resolve()
    if not target.is_relative_to(folder.resolve()):
        raise DownloadError(f'{source.filename}: the member {entry.filename} would be written outside {folder}')
    if target.is_file() and target.stat().st_size == entry.file_size:
        return  # from a run that was interrupted
    with atomic_file(target) as part, source.open(entry) as content, part.open('wb') as out:
        shutil.copyfileobj(content, out, CHUNK)

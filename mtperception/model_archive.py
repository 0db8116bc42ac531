# SPDX-License-Identifier: Apache-2.0
"""A model directory that is fetched as an archive (.zip, .tar, .tar.gz) and installed for the user."""

import gzip
import re
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO
from urllib.parse import urlsplit

from mtperception import resources
from mtperception.atomic_write import write_errors
from mtperception.bounded_read import read_yaml
from mtperception.card import CARD, FILES_OF_A_MODEL, ModelError, open_model
from mtperception.download import Progress, RemoteFile, fetched_for_once, no_progress
from mtperception.errors import InputError

INDEX = 'models'
"""Configuration with the addresses of models by name."""
EXPECTED = 'expected an address of http(s), file or a name of config/models.yaml, as URL#sha256=HEX'
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, EOFError, NotImplementedError)
"""What libraries raise for archives; the last for a zip that is compressed in an unknown way."""
_ENCRYPTED = 1
"""The flag of an entry of a zip."""
_Opener = Callable[[], AbstractContextManager[IO[bytes] | None]]


def remote_model(what: str) -> RemoteFile:
    """The archive of a model, by its name in `config/models.yaml` or as `URL#sha256=HEX`.

    Raises:
        InputError: for an unknown name, or an address without the digest.
    """
    address = what
    if '://' not in what:
        known = read_yaml(resources.find('config', INDEX)) or {}
        if what not in known:
            names = ', '.join(map(str, known)) or 'no names yet'
            raise InputError(f'no address for model {what!r}: config/models.yaml has {names}; {EXPECTED}')
        address = str(known[what])
    url, _, fragment = address.partition('#')
    digest = fragment.removeprefix('sha256=')
    if not (re.fullmatch(r'[0-9a-fA-F]{64}', digest) and PurePosixPath(urlsplit(url).path).name):
        raise InputError(f'{address}: {EXPECTED}; sha256sum ARCHIVE prints the digest')
    return RemoteFile(url, sha256=digest)


def install_model(file: RemoteFile, root: Path, progress: Progress = no_progress) -> tuple[Path, bool]:
    """Fetch an archive, check it, and put its model where `--model NAME` finds it.

    Args:
        file: the archive, with its sha256.
        root: the folder of models; created if missing.
        progress: shows the transfer.

    Returns:
        The model's directory, and whether it is new.

    Raises:
        DownloadError: if it cannot be fetched or its digest is another.
        ModelError: if it holds no complete model.
        InputError: if another model of that name is there.
        WriteError: if it cannot be written.
    """
    with write_errors(root):
        root.mkdir(parents=True, exist_ok=True)
    with (
        fetched_for_once(file, root, progress) as archive,
        TemporaryDirectory(dir=root, prefix='.incoming_') as folder,
    ):
        unpacked = Path(folder) / 'model'
        _unpack(archive, unpacked)
        return _placed(unpacked, root)


def _placed(unpacked: Path, root: Path) -> tuple[Path, bool]:
    name = open_model(unpacked).card.name
    if not re.fullmatch(r'\w[\w.-]*', name):
        raise ModelError(f'the model is called {name!r}: expected a name of letters, digits, _, - and .')
    place = root / name
    if place.exists():
        if (place / CARD).is_file() and (place / CARD).read_bytes() == (unpacked / CARD).read_bytes():
            return place, False
        raise InputError(f'{place}: another model of that name exists: remove it first')
    if name in resources.available('model'):
        raise InputError(f'{resources.find("model", name)}: a model of that name is installed, and would hide this one')
    with write_errors(place):
        unpacked.rename(place)
    return place, True


def _unpack(archive: Path, out: Path) -> None:
    """Write the files of a model that an archive holds, at its top or in one folder, and nothing else of it."""
    out.mkdir()
    try:
        for name, opened in _members(archive):
            with opened() as content, write_errors(out / name), (out / name).open('wb') as file:
                if content is not None:
                    shutil.copyfileobj(content, file)
    except _DAMAGED as error:
        raise ModelError(f'{archive.name}: not an archive (.zip, .tar, .tar.gz) that can be read: {error}') from error


def _members(archive: Path) -> Iterator[tuple[str, _Opener]]:
    """Name and opener of each file of a model in an archive; links and special files are none."""
    # A tar may end in a file that is a zip itself, such as the self-test.
    if zipfile.is_zipfile(archive) and not tarfile.is_tarfile(archive):
        with zipfile.ZipFile(archive) as source:
            for entry in source.infolist():
                if _is_wanted(entry.filename):
                    if entry.flag_bits & _ENCRYPTED:
                        raise zipfile.BadZipFile(f'{entry.filename} needs a password')
                    yield PurePosixPath(entry.filename).name, lambda entry=entry: source.open(entry)
        return
    with tarfile.open(archive) as source:
        for member in source:
            if member.isfile() and _is_wanted(member.name):
                yield PurePosixPath(member.name).name, lambda member=member: _of_tar(source, member)


@contextmanager
def _of_tar(source: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[IO[bytes] | None]:
    yield source.extractfile(member)


def _is_wanted(name: str) -> bool:
    path = PurePosixPath(name)
    return path.name in FILES_OF_A_MODEL and len(path.parts) <= 2

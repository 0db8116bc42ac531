# SPDX-License-Identifier: Apache-2.0
"""Which files a recording is made of, and what each of them is."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any

import yaml

from mtperception.dataset_json import NAME as DATASET_JSON
from mtperception.errors import SourceError
from mtperception.image_files import list_images
from mtperception.media import by_number
from mtperception.recording.storage import MCAP_START, SQLITE_LOGS, SQLITE_START, ZSTD_START

SUFFIXES = ('.mcap', '.db3')
COMPRESSED = ('.zstd', '.zst')
"""Behind them, of a file that `ros2 bag record --compression-mode file`, or `zstd`, compressed."""
METADATA = 'metadata.yaml'
ROS1_SUFFIX, ROS1_START = '.bag', b'#ROSBAG'
_STARTS = {MCAP_START: '.mcap', SQLITE_START: '.db3'}
_NAMED = 8
"""Files that a note names at most."""
_READ_AT_ONCE = 2**20
"""Bytes of a compressed file."""


@dataclass(frozen=True)
class BagFiles:
    """The storage files of one recording, in their order."""

    paths: tuple[Path, ...]
    notes: tuple[str, ...] = field(default=())
    """What the folder says that is not so."""
    stated: Mapping[str, int] = field(default_factory=dict)
    """By topic, how many messages metadata.yaml says there are; it is asked where a file is damaged."""


def is_storage(path: Path) -> bool:
    """Whether a file is called as those in which recorders keep messages, compressed as a whole or not."""
    return not path.name.startswith('.') and _named_kind(path) in SUFFIXES


def is_bag(path: Path) -> bool:
    """Whether there is a storage file at a path, or a folder with some that is no data set; a bag of ROS 1, too, which
    is refused later, unless it lies among images.
    """
    if path.is_dir():
        if (path / DATASET_JSON).is_file():
            return False
        is_ros1 = any(file.suffix == ROS1_SUFFIX for file in _visible(path))
        return bool(_storage_in(path)) or (is_ros1 and not list_images(path))
    return path.is_file() and (is_storage(path) or _starts_as_storage(path) or _is_ros1(path))


def files_of(path: Path) -> BagFiles:
    """The files of a recording: one, or those in a folder that are called like storage.

    What a folder's metadata.yaml lists is used where it is there; other parts of the same recording, too, for a
    recorder that is killed does not list the last one. Where nothing is listed, all files are used, but of those that
    are called the same in both formats, as a bag and its conversion, only the ones in MCAP: there it shows if the
    conversion ended early.

    Raises:
        SourceError: if there is nothing at the path, a bag of ROS 1, or no storage file.
    """
    if not path.exists():
        raise SourceError(f'{path}: no such file or folder: expected a ROS 2 bag')
    if path.is_file():
        _check_version(path)
        return BagFiles((path,))
    files = sorted(_storage_in(path), key=lambda file: by_number(file.name))
    if not files:
        found = sorted(_visible(path))
        for file in found:
            _check_version(file)
        names = ', '.join(file.name for file in found[:10]) or 'nothing'
        raise SourceError(f'{path}: not a ROS 2 bag: expected files that end in {" or ".join(SUFFIXES)}, found {names}')
    return _listed(path, files)


def kind_of(path: Path) -> str:
    """`.mcap` or `.db3`, by the first bytes of a file, else by its name.

    Raises:
        SourceError: if neither says.
    """
    head = _start(path)
    for start, kind in _STARTS.items():
        if head.startswith(start):
            return kind
    kind = _named_kind(path)
    if kind not in SUFFIXES:
        raise SourceError(f'{path}: not a ROS 2 bag: expected an MCAP file or an SQLite database')
    return kind


def needs_copy(path: Path) -> bool:
    """Whether a file can only be read after it was decompressed, or after SQLite worked in the log beside it."""
    return _start(path).startswith(ZSTD_START) or (kind_of(path) == '.db3' and has_log(path))


def readable_copy(path: Path, folder: Path) -> tuple[Path, str]:
    """A copy, in a folder, of a file that `needs_copy`, and what is wrong with the file; empty if nothing is.

    Of what is damaged, the copy has what comes before that.

    Raises:
        OSError: if there is no room for the copy.
    """
    if _start(path).startswith(ZSTD_START):
        copy = folder / _decompressed_name(path.name)
        return copy, _decompress(path, copy)
    return _with_log(path, folder / path.name), ''


def has_log(path: Path) -> bool:
    """Whether SQLite has something to do before a database can be read."""
    logs = (path.with_name(path.name + log) for log in SQLITE_LOGS)
    return any(log.is_file() and log.stat().st_size for log in logs)


def _visible(folder: Path) -> Iterator[Path]:
    """Files but those that systems put beside them, such as macOS its `._` files."""
    return (file for file in folder.iterdir() if not file.name.startswith('.') and file.is_file())


def _storage_in(folder: Path) -> list[Path]:
    """The files that are called like storage; if a recorder's metadata are beside others, those that begin like it."""
    files = list(_visible(folder))
    named = [file for file in files if is_storage(file)]
    if named or not (folder / METADATA).is_file():
        return named
    return [file for file in files if _starts_as_storage(file)]


def _listed(folder: Path, found: list[Path]) -> BagFiles:
    metadata = _metadata(folder / METADATA)
    names, stated = _names(metadata), _stated(metadata)
    files = [file for file in found if not _has_plain(file, found)]
    notes = [f'{file.name}: skipped, its decompressed file is used' for file in found if file not in files]
    plain = {_decompressed_name(file.name): file.name for file in files}
    listed = [plain[_decompressed_name(name)] for name in names if _decompressed_name(name) in plain]
    if not listed:
        notes += [f'{METADATA} lists {", ".join(names)}, found others: these are used'] if names else []
        used, more = _unlisted(files)
        return BagFiles(tuple(used), (*notes, *more), stated)
    series = {_series(name) for name in listed}
    used = [file for file in files if file.name in listed or _series(file.name) in series]
    notes += [f'{name}: listed in {METADATA}, but missing' for name in names if _decompressed_name(name) not in plain]
    notes += [
        f'{file.name}: not listed in {METADATA}, but a part of this recording: used'
        for file in used
        if file.name not in listed
    ]
    notes += [f'{file.name}: not listed in {METADATA}: skipped' for file in files if file not in used]
    return BagFiles(tuple(used), tuple(notes), stated)


def _unlisted(files: list[Path]) -> tuple[list[Path], list[str]]:
    """Which files of a folder are used if nothing says what belongs together, and what a user should know of that."""
    series = {file: _series(file.name) for file in files}
    kept, other = SUFFIXES
    in_kept = {stem: file.name for file, (stem, suffix) in series.items() if suffix == kept and _is_begun(file)}
    twice = {file: in_kept[stem] for file, (stem, suffix) in series.items() if suffix == other and stem in in_kept}
    used = [file for file in files if file not in twice]
    notes = [f'{file.name}: skipped, {name} of the same name is used' for file, name in twice.items()]
    if (count := len({series[file] for file in used})) > 1:
        names = ', '.join(file.name for file in used[:_NAMED]) + (', ...' if len(used) > _NAMED else '')
        advice = 'to read them apart, name one file, or give each to replay-many'
        notes.append(f'found files of {count} recordings, read as one: {names}; {advice}')
    return used, notes


def _metadata(path: Path) -> dict[str, Any]:
    """What metadata.yaml says; nothing if it cannot be read: the storage says all that is needed."""
    try:
        content = yaml.safe_load(path.read_text(encoding='utf-8'))['rosbag2_bagfile_information']
        return content if isinstance(content, dict) else {}
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError, RecursionError):
        return {}


def _names(metadata: Mapping[str, Any]) -> list[str]:
    """The files that are listed, in their order."""
    listed = metadata.get('relative_file_paths')
    paths = [PureWindowsPath(name) for name in listed if isinstance(name, str)] if isinstance(listed, list) else []
    return [path.name for path in paths]


def _stated(metadata: Mapping[str, Any]) -> dict[str, int]:
    try:
        topics = metadata['topics_with_message_count']
        return {entry['topic_metadata']['name']: int(entry['message_count']) for entry in topics}
    except (KeyError, TypeError, ValueError):
        return {}


def _series(name: str) -> tuple[str, str]:
    """What the parts of one recording have in common: they are called NAME_0.db3, NAME_1.db3, ..."""
    path = Path(_decompressed_name(name))
    stem, _, number = path.stem.rpartition('_')
    return (stem if stem and number.isdecimal() else path.stem), path.suffix.lower()


def _decompressed_name(name: str) -> str:
    """The name of a file before it was compressed."""
    path = Path(name)
    return path.stem if path.suffix.lower() in COMPRESSED else name


def _named_kind(path: Path) -> str:
    """What a file is by its name, compressed or not: one of the `SUFFIXES`, or another."""
    return Path(_decompressed_name(path.name)).suffix.lower()


def _has_plain(file: Path, files: list[Path]) -> bool:
    """Whether a file was decompressed beside itself, which gives all that is in it."""
    plain = file.with_name(_decompressed_name(file.name))
    return plain != file and plain in files


def _starts_as_storage(path: Path) -> bool:
    try:
        return _start(path).startswith(tuple(_STARTS))
    except SourceError:
        return False


def _is_begun(path: Path) -> bool:
    """Whether a file is one of storage by its first bytes, compressed or not."""
    return _start(path).startswith((*_STARTS, ZSTD_START))


def _check_version(path: Path) -> None:
    if _is_ros1(path):
        raise SourceError(f'{path}: a ROS 1 bag: expected a ROS 2 one, which `rosbags-convert` makes of it')


def _is_ros1(path: Path) -> bool:
    start = _start(path)
    known = (MCAP_START, SQLITE_START)
    return start.startswith(ROS1_START) or (path.suffix == ROS1_SUFFIX and not start.startswith(known))


def _start(path: Path) -> bytes:
    try:
        with path.open('rb') as file:
            return file.read(16)
    except OSError as error:
        raise SourceError(f'{path}: cannot be read: {error.strerror or error}') from error


def _decompress(path: Path, copy: Path) -> str:
    """Decompress a file as far as it is whole, and say what is wrong with it; it may have several zstd frames."""
    from zstandard import ZstdDecompressor, ZstdError

    with path.open('rb') as compressed, copy.open('wb') as whole:
        frame = ZstdDecompressor().decompressobj()
        try:
            while data := compressed.read(_READ_AT_ONCE):
                while data:
                    frame = ZstdDecompressor().decompressobj() if frame.eof else frame
                    whole.write(frame.decompress(data))
                    data = frame.unused_data
        except ZstdError as error:
            return f'cannot be decompressed: {error}: `zstd -d` may say more'
    return '' if frame.eof else 'cannot be decompressed completely: the file is truncated'


def _with_log(path: Path, copy: Path) -> Path:
    for log in ('', *SQLITE_LOGS):
        file = path.with_name(path.name + log)
        if file.is_file():
            shutil.copyfile(file, copy.with_name(copy.name + log))
    return copy

# SPDX-License-Identifier: Apache-2.0
"""Where models, label spaces, configurations and launch files are, however the package was installed."""

import os
from collections.abc import Iterator
from pathlib import Path

from mtperception.errors import MTPerceptionError

PACKAGE = 'mtperception'
FOLDERS = {
    'model': 'models',
    'labels': 'config/labels',
    'config': 'config',
    'rviz': 'config/rviz',
    'train': 'config/train',
    'launch': 'launch',
}


class ResourceNotFoundError(MTPerceptionError, FileNotFoundError):
    """A resource that is neither a path nor the name of something installed; the message lists what there is."""


def find(kind: str, name: str | Path) -> Path:
    """Path of a resource given by path or by name.

    A name alone finds in the working directory a folder that has a card, for a model, or a file with a suffix: what
    else happens to be called so, such as a training run, does not hide what is installed. `./name` is a path.

    Looked for in this order: the path as given (a folder for a model, else a file), the source tree (plain checkout,
    `pip install -e`, colcon's symlink install), `<prefix>/share/mtperception` (`pip install`, `colcon build`), the
    prefixes of the ament index, the user's data folder (`user_folder`).

    Args:
        kind: one of `FOLDERS`.
        name: an existing path, or the name of an entry of that folder; `.yaml` may be left out.

    Raises:
        ResourceNotFoundError: if there is no such path and no such name.
    """
    given = Path(name).expanduser()
    if str(name) and given.exists() and (given.name != str(name) or _is_meant(kind, given)):
        return given.resolve()
    names = (f'{name}', f'{name}.yaml') if str(name) else ()
    for candidate in (folder / entry for folder in _folders(kind) for entry in names):
        if candidate.exists():
            return candidate
    if str(name) and given.exists() and given.is_dir() == (kind == 'model'):
        return given.resolve()
    known = ', '.join([*available(kind), *_groups(kind)]) or 'none installed'
    kind = {'train': 'configuration', 'labels': 'label space'}.get(kind, kind)
    raise ResourceNotFoundError(f'no {kind} {str(name)!r}: expected an existing path or one of: {known}')


def from_anywhere(kind: str, name: str) -> str:
    """The same resource for a process with another working directory: a path made absolute; a name stays one."""
    given = Path(name).expanduser()
    is_path = bool(name) and given.exists() and find(kind, name) == given.resolve()
    return str(given.absolute()) if is_path else name


def _is_meant(kind: str, given: Path) -> bool:
    """Whether what has that name in the working directory is such a resource."""
    return (given / 'card.yaml').is_file() if kind == 'model' else given.is_file() and bool(given.suffix)


def available(kind: str) -> list[str]:
    """Names that `find` knows for a kind, sorted. A model is a directory with a card, everything else a file."""
    entries = [entry for folder in _folders(kind) if folder.is_dir() for entry in folder.iterdir()]
    named = (entry.name for entry in entries if (entry / 'card.yaml' if kind == 'model' else entry).is_file())
    return sorted({name.removesuffix('.yaml') for name in named if not name.startswith('.')})


def _groups(kind: str) -> list[str]:
    """Folders below those of a kind of files, whose entries `find` knows as `folder/name`: written `folder/...`."""
    if kind == 'model':
        return []
    entries = [entry for folder in _folders(kind) if folder.is_dir() for entry in folder.iterdir()]
    return sorted({f'{entry.name}/...' for entry in entries if entry.is_dir() and not entry.name.startswith('.')})


def _folders(kind: str) -> list[Path]:
    """Folders that may hold the resources of a kind, nearest first."""
    return [root / FOLDERS[kind] for root in _roots()]


def user_folder(kind: str) -> Path:
    """Where what the user downloads is kept, by the XDG base directory specification; it need not exist."""
    return _user_root() / FOLDERS[kind]


def _user_root() -> Path:
    return Path(os.environ.get('XDG_DATA_HOME') or Path.home() / '.local' / 'share') / PACKAGE


def _roots() -> Iterator[Path]:
    """Folders that may hold `models/`, `config/` and `launch/`."""
    package = Path(__file__).parent
    source = package.resolve().parent
    if (source / 'package.xml').is_file():
        yield source
    for parent in package.parents:
        yield parent / 'share' / PACKAGE
    for prefix in filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)):
        yield Path(prefix) / 'share' / PACKAGE
    yield _user_root()

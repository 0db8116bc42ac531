"""Results that are there completely or not at all."""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def written_aside(out: Path, entries: Sequence[str] = ()) -> Iterator[Path]:
    """A path beside `out` to write to, which takes its place when the block ends; after an error nothing of it stays.

    A file that was not written takes nobody's place.

    Args:
        out: the file or the folder to be; its parents are made if need be. What is there is replaced.
        entries: the names that will be in the folder; none if it is a file. A folder that holds anything else is not
            replaced.

    Raises:
        ValueError: if what is there is of another kind, or is a folder with other things.
        OSError: if it cannot be written.
    """
    out = out.expanduser().resolve()
    check_replaceable(out, entries)
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f'.{out.stem}.part{out.suffix}')  # some writers go by the suffix
    _remove(part)
    try:
        if entries:
            part.mkdir()
        yield part
        _put_in_place(part, out)
    finally:
        _remove(part)


def write_if_changed(path: Path, text: str) -> None:
    """Write a text file, unless it is there with this very text.

    Raises:
        ValueError: if there is a folder of this name.
        OSError: if it cannot be written.
    """
    if path.is_file() and path.read_bytes() == text.encode():
        return
    with written_aside(path) as part:
        part.write_text(text, encoding='utf-8')


def check_replaceable(out: Path, entries: Sequence[str]) -> None:
    """Check that what is at `out`, if anything, is of this kind and holds nothing else.

    Raises:
        ValueError: if not.
    """
    if not out.exists():
        return
    if out.is_dir() != bool(entries):
        found, expected = ('a folder', 'a file') if out.is_dir() else ('a file', 'a folder')
        raise ValueError(f'{out} is {found}: this format writes {expected}: choose another name')
    others = sorted(path.name for path in out.iterdir() if path.name not in entries) if entries else []
    if others:
        raise ValueError(
            f'{out} holds {others[0]}, which is not of such an export: choose a folder that is new, empty, or an '
            'earlier export'
        )


def _put_in_place(part: Path, out: Path) -> None:
    if not part.exists():
        return
    if not out.is_dir():
        part.replace(out)
        return
    old = out.with_name(f'.{out.name}.old')
    _remove(old)
    out.rename(old)
    part.rename(out)
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)

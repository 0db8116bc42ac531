"""Folders that commands write to."""

from collections.abc import Iterable
from pathlib import Path


def check_apart(out: Path, inputs: Iterable[str]) -> None:
    """Check that an output folder holds none of the inputs, which a result of the same name would overwrite.

    Raises:
        ValueError: if it does.
    """
    for text in inputs:
        path = Path(text).expanduser()
        if path.exists() and out.resolve() in (path.resolve(), path.resolve().parent):
            raise ValueError(f'--out {out} holds the input {text}, which could be overwritten: choose another folder')

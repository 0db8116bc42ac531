# SPDX-License-Identifier: Apache-2.0
"""`dataset.json`: what a folder of images says about itself. Its keys are described in `mtperception.data.folder`."""

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtperception.bounded_read import read_bounded
from mtperception.errors import InputError
from mtperception.types import Intrinsics

NAME = 'dataset.json'
ID = '{id}'
CAMERA = ('fx', 'fy', 'cx', 'cy', 'width', 'height')
KEYS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(('rgb', 'labels', 'depth', 'pose', 'label_space'), (str,)),
    **dict.fromkeys(('depth_scale', 'depth_offset', 'fx', 'fy', 'cx', 'cy'), (int, float)),
    **dict.fromkeys(('width', 'height'), (int,)),
    'ignore_index': (int, type(None)),
    'depth_invalid': (int, float, type(None)),
}
"""What is read from the file, and the types that it may have."""
PATTERNS = ('rgb', 'labels', 'depth', 'pose')
NEEDS = {'labels': ('label_space',), 'depth': ('depth_scale',), **dict.fromkeys(('fx', 'fy', 'cx', 'cy'), CAMERA)}
"""Keys without which a key means nothing."""
CLOSE = 0.8
"""Keys at least as similar as that to a known one (difflib's ratio) are taken for a typo."""
MAX_BYTES = 1_000_000


class DatasetJsonError(InputError):
    """A `dataset.json` that cannot be used; the message says what was found and what was expected."""


@dataclass(frozen=True)
class FolderDescription:
    """The keys of a `dataset.json`, each checked for its type; those that are not known belong to other programs."""

    path: Path
    """The file, for messages."""
    keys: Mapping[str, Any]

    @property
    def camera(self) -> Intrinsics | None:
        """The camera, for images of its own size; None where the file does not say."""
        return Intrinsics(**{key: self.keys[key] for key in CAMERA}) if 'fx' in self.keys else None

    def require(self, *keys: str) -> None:
        """Check that keys are there.

        Raises:
            DatasetJsonError: if one is not.
        """
        for key in keys:
            if key not in self.keys:
                there = ', '.join(self.keys) or 'anything else'
                raise DatasetJsonError(f'{self.path}: no {key!r}: expected it beside {there}')


def read_dataset_json(folder: Path) -> FolderDescription | None:
    """The description in a folder; None if there is none.

    Raises:
        DatasetJsonError: if it cannot be read, a key has a wrong type, looks like a typo, or lacks another one.
    """
    path = folder / NAME
    if not path.exists():
        return None
    description = FolderDescription(path, _read(path))
    for key, value in description.keys.items():
        _check(path, key, value)
    for key in description.keys:
        description.require(*NEEDS.get(key, ()))
    return description


def _read(path: Path) -> dict[str, Any]:
    try:
        keys = json.loads(read_bounded(path, MAX_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetJsonError(f'{path}: not readable as JSON: {error}') from error
    if not isinstance(keys, dict):
        raise DatasetJsonError(f'{path}: found {type(keys).__name__}, expected an object with keys such as "rgb"')
    return keys


def _check(path: Path, key: str, value: Any) -> None:
    if key not in KEYS:
        meant = difflib.get_close_matches(key.lower(), KEYS, 1, CLOSE)
        if meant:
            raise DatasetJsonError(f'{path}: unknown key {key!r}: did you mean {meant[0]!r}?')
        return
    found = f'{path}: {key!r} is {value!r}'
    if not isinstance(value, KEYS[key]) or isinstance(value, bool):
        expected = ' or '.join('null' if kind is type(None) else kind.__name__ for kind in KEYS[key])
        expected += f' (all of {", ".join(CAMERA)} are numbers)' if key in CAMERA else ''
        raise DatasetJsonError(f'{found}: expected {expected}')
    if isinstance(value, float) and not math.isfinite(value):
        raise DatasetJsonError(f'{found}: expected a finite number')
    if key in ('depth_scale', 'fx', 'fy', 'width', 'height') and value <= 0:
        raise DatasetJsonError(f'{found}: expected more than 0')
    if key in PATTERNS and ID not in value:
        raise DatasetJsonError(f'{found}: expected a path with {ID} in it')

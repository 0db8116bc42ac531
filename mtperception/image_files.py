# SPDX-License-Identifier: Apache-2.0
"""Image files: which of a folder's are meant, and their pixels."""

import glob
from pathlib import Path

import numpy as np

from mtperception.dataset_json import ID
from mtperception.errors import SourceError
from mtperception.media import by_number
from mtperception.messages import RefusedImageError, upright_rgb

SUFFIXES = (
    *('.bmp', '.dib', '.jfif', '.jp2', '.jpe', '.jpeg', '.jpg'),
    *('.pbm', '.pgm', '.png', '.pnm', '.ppm', '.tif', '.tiff', '.webp', '.avif'),
)


def read_rgb(path: Path) -> np.ndarray:
    """uint8 H,W,3, RGB: an image file, turned upright as its EXIF data say.

    Raises:
        SourceError: if it is not an image, or has more pixels than `MAX_IMAGE_PIXELS`.
    """
    try:
        return upright_rgb(path.read_bytes())
    except RefusedImageError as error:
        raise SourceError(f'{path}: {error}') from error
    except OSError as error:
        raise SourceError(f'{path}: {error.strerror}') from error


def is_hidden(path: Path) -> bool:
    """Whether a name starts with a dot: macOS puts a `._IMG.jpg` that is no image beside each `IMG.jpg`."""
    return path.name.startswith('.')


def list_images(folder: Path, pattern: str = ID) -> list[Path]:
    """The image files that a pattern names, whose only wildcard is `{id}`; the hidden ones are none of them.

    Args:
        folder: what a relative pattern is relative to.
        pattern: a path with `{id}`; the same id at each of its places is not asked for.
    """
    path = Path(pattern)
    root, inside = folder / path.anchor, path.relative_to(path.anchor).as_posix()
    wildcard = '*'.join(glob.escape(part) for part in inside.split(ID))
    shows_hidden = any(part.startswith('.') and part != '..' for part in Path(inside).parts)
    return [
        found
        for found in root.glob(wildcard)
        if found.suffix.lower() in SUFFIXES and found.is_file() and (shows_hidden or not _is_below_hidden(found, root))
    ]


def _is_below_hidden(path: Path, root: Path) -> bool:
    """Whether a file, or a folder between it and a root, is hidden."""
    return any(part.startswith('.') and part != '..' for part in path.relative_to(root).parts)


def named_images(folder: Path, pattern: str) -> list[tuple[str, Path]]:
    """What `{id}` stands for in the paths of the images of a folder, and their files, in order: numbers by value.

    Args:
        folder: what a relative pattern is relative to.
        pattern: a path with `{id}`.

    Raises:
        SourceError: if there are none.
    """
    found = list_images(folder, pattern)
    if not found:
        raise SourceError(
            f'{folder}: no images ({pattern.replace(ID, "*")}): expected files that end in {", ".join(SUFFIXES)}'
        )
    path = Path(pattern)
    root, parts = folder / path.anchor, path.relative_to(path.anchor).parts
    paths = sorted((image.relative_to(root) for image in found), key=lambda image: by_number(image.as_posix()))
    place = next(index for index, part in enumerate(parts) if ID in part)
    before, _, after = parts[place].partition(ID)
    return [(image.parts[place].removeprefix(before).removesuffix(after), root / image) for image in paths]


def stem(name: str) -> str:
    """A name without the suffix of an image, if it has one."""
    path = Path(name)
    return path.stem if path.suffix.lower() in SUFFIXES else name

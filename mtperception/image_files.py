# SPDX-License-Identifier: Apache-2.0
"""Image files: which of a folder's are meant, and their pixels."""

import glob
from pathlib import Path

import cv2
import numpy as np

from mtperception.dataset_json import ID
from mtperception.errors import SourceError
from mtperception.media import by_number
from mtperception.messages import RefusedImageError, completed
from mtperception.messages.image_decoding import check_size

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
        data = completed(path.read_bytes())
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
        if image is None:
            problem = 'OpenCV cannot decode it: damaged, cut off, or no image' if data else 'the file is empty'
            raise SourceError(f'{path}: {problem}: expected a complete image file, such as a JPEG or PNG')
        check_size(image.shape[1], image.shape[0])
    except (RefusedImageError, cv2.error) as error:
        raise SourceError(f'{path}: {error}') from error
    except OSError as error:
        raise error if isinstance(error, SourceError) else SourceError(f'{path}: {error.strerror}') from error
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


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

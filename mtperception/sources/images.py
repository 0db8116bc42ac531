"""One image file, or a folder of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mtperception.errors import SourceError
from mtperception.media import by_number
from mtperception.messages import RefusedImageError, completed
from mtperception.sources.source import Frame, SourceOptions
from mtperception.types import Intrinsics

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp')
ID = '{id}'
RATE = 10.0
"""Images per second when nothing else is asked for."""


class ImageFile:
    """A single image."""

    is_stream = False
    rate = RATE
    count = 1

    def __init__(self, spec: str, options: SourceOptions) -> None:
        self._path = Path(spec).expanduser()
        self.description = f'the image {self._path}'

    @staticmethod
    def accepts(spec: str) -> bool:
        """Whether this is the path of a file that is called like an image."""
        path = Path(spec).expanduser()
        return path.is_file() and path.suffix.lower() in SUFFIXES

    def __iter__(self) -> Iterator[Frame]:
        """The one frame."""
        yield Frame(read_rgb(self._path), 0, None, self._path.stem)


class ImageFolder:
    """The images of a folder in the order of their names, numbers in them by value.

    A `dataset.json` in the folder may give the pattern of the image paths (`rgb`, with `{id}`, which names the frame)
    and the camera (`fx`, `fy`, `cx`, `cy`, `width`, `height`).
    """

    is_stream = False

    def __init__(self, spec: str, options: SourceOptions) -> None:
        self._folder = Path(spec).expanduser()
        layout = _read_layout(self._folder)
        self._intrinsics = _intrinsics(layout)
        self._images = _named_images(self._folder, layout)
        self.rate = options.rate or RATE
        self.count = len(self._images)
        self.description = f'the folder {self._folder} (images: {self.count})'

    @staticmethod
    def accepts(spec: str) -> bool:
        """Whether this is the path of a folder."""
        return Path(spec).expanduser().is_dir()

    def __iter__(self) -> Iterator[Frame]:
        """The frames at the folder's rate."""
        for index, (name, path) in enumerate(self._images):
            image = read_rgb(path)
            height, width = image.shape[:2]
            yield Frame(image, round(index * 1e9 / self.rate), _fitted(self._intrinsics, width, height), name)


def read_rgb(path: Path) -> np.ndarray:
    """uint8 H,W,3, RGB: an image file, turned upright as its EXIF data say.

    Raises:
        SourceError: if it is not an image.
    """
    try:
        data = completed(path.read_bytes())
    except (OSError, RefusedImageError) as error:
        raise SourceError(f'{path}: {error}') from error
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise SourceError(f'{path}: not an image that OpenCV can read: expected a complete {", ".join(SUFFIXES)}')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _read_layout(folder: Path) -> dict[str, Any]:
    path = folder / 'dataset.json'
    if not path.exists():
        return {}
    try:
        layout = json.loads(path.read_text(encoding='utf-8'))
    except (OSError, ValueError) as error:
        raise SourceError(f'{path}: not readable as JSON: {error}') from error
    if not isinstance(layout, dict):
        raise SourceError(f'{path}: expected an object with keys such as "rgb" and "fx", found {type(layout).__name__}')
    return layout


def _named_images(folder: Path, layout: dict[str, Any]) -> list[tuple[str, Path]]:
    """The names of the images, which are their ids, and their files, in order."""
    pattern = Path(str(layout.get('rgb', ID)))
    root, pattern = folder / pattern.anchor, pattern.relative_to(pattern.anchor)
    wildcard = pattern.as_posix().replace(ID, '*')
    found = [path for path in root.glob(wildcard) if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not found:
        raise SourceError(f'{folder}: no images ({wildcard}): expected files that end in {", ".join(SUFFIXES)}')
    paths = sorted((path.relative_to(root) for path in found), key=lambda path: by_number(path.as_posix()))
    place = next((index for index, part in enumerate(pattern.parts) if ID in part), -1)
    before, _, after = pattern.parts[place].partition(ID)
    return [(_stem(path.parts[place].removeprefix(before).removesuffix(after)), root / path) for path in paths]


def _stem(name: str) -> str:
    """A name without the suffix of an image, if it has one."""
    path = Path(name)
    return path.stem if path.suffix.lower() in SUFFIXES else name


def _intrinsics(layout: dict[str, Any]) -> Intrinsics | None:
    keys = ('fx', 'fy', 'cx', 'cy', 'width', 'height')
    if any(key not in layout for key in keys):
        return None
    try:
        return Intrinsics(*(float(layout[key]) for key in keys[:4]), *(int(layout[key]) for key in keys[4:]))
    except (TypeError, ValueError) as error:
        raise SourceError(f'dataset.json: {", ".join(keys)} must be numbers: {error}') from error


def _fitted(intrinsics: Intrinsics | None, width: int, height: int) -> Intrinsics | None:
    """The camera for this image size; an image of another shape was cropped somehow: then it is not known."""
    if intrinsics is None or intrinsics.width * height != intrinsics.height * width:
        return None
    return intrinsics.resized(width, height)

# SPDX-License-Identifier: Apache-2.0
"""One image file, or a folder of them."""

import glob
import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from mtperception.dataset_json import ID, NAME, DatasetJsonError, FolderDescription, read_dataset_json
from mtperception.errors import SourceError
from mtperception.media import by_number
from mtperception.messages import RefusedImageError, completed
from mtperception.messages.image_decoding import check_size
from mtperception.sources.source import Frame, SourceOptions
from mtperception.types import Intrinsics

SUFFIXES = (
    *('.bmp', '.dib', '.jfif', '.jp2', '.jpe', '.jpeg', '.jpg'),
    *('.pbm', '.pgm', '.png', '.pnm', '.ppm', '.tif', '.tiff', '.webp', '.avif'),
)
RATE = 10.0
"""Images per second when nothing else is asked for."""
_log = logging.getLogger(__name__)


class ImageFile:
    """A single image."""

    is_stream = False
    notes: tuple[str, ...] = ()
    rate = RATE
    count = 1

    def __init__(self, spec: str, options: SourceOptions) -> None:
        self._path = Path(spec).expanduser()
        self.description = f'the image {self._path}'

    @staticmethod
    def accepts(spec: str) -> bool:
        """Whether this is the path of a file that is called like an image, or is one by what is in it."""
        path = Path(spec).expanduser()
        return path.is_file() and (path.suffix.lower() in SUFFIXES or _is_still(path))

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
        description = _read_description(self._folder)
        self._camera = description and description.camera
        self._camera_fits = True
        self._images = named_images(self._folder, description.keys.get('rgb', ID) if description else ID)
        self._unreadable: list[str] = []
        self.rate = options.rate or RATE
        self.count = len(self._images)
        self.description = f'the folder {self._folder} (images: {self.count})'

    @staticmethod
    def accepts(spec: str) -> bool:
        """Whether this is the path of a folder."""
        return Path(spec).expanduser().is_dir()

    def __iter__(self) -> Iterator[Frame]:
        """The frames at the folder's rate.

        Raises:
            SourceError: if none can be read.
        """
        unreadable = []
        for index, (name, path) in enumerate(self._images):
            try:
                image = read_rgb(path)
            except SourceError as error:
                unreadable.append(str(error))
                self._unreadable = max(self._unreadable, unreadable, key=len)
                continue
            yield Frame(image, round(index * 1e9 / self.rate), self._fitted_camera(image, name), name)
        if len(unreadable) == self.count:
            raise SourceError(f'none of {self.count} images can be read, the first: {unreadable[0]}')

    @property
    def notes(self) -> tuple[str, ...]:
        """How many images could not be read, and why the first one."""
        count = len(self._unreadable)
        return (f'{count} of {self.count} images cannot be read, the first: {self._unreadable[0]}',) if count else ()

    def _fitted_camera(self, image: np.ndarray, name: str) -> Intrinsics | None:
        """The camera of an image; None, and said once, if it is of another shape."""
        height, width = image.shape[:2]
        fitted = self._camera and self._camera.for_image(width, height)
        if self._camera and fitted is None and self._camera_fits:
            self._camera_fits = False
            found = f'{self._folder}: {name} is {width}x{height}, {NAME} has a camera for'
            _log.warning('%s %dx%d: unknown for such images', found, self._camera.width, self._camera.height)
        return fitted


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


def _is_still(path: Path) -> bool:
    """Whether a file that is not called like an image is one; not if it has several, one after the other."""
    if not cv2.haveImageReader(str(path)):
        return False
    capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
    try:
        return not (capture.isOpened() and capture.grab() and capture.grab())
    finally:
        capture.release()


def _read_description(folder: Path) -> FolderDescription | None:
    try:
        return read_dataset_json(folder)
    except DatasetJsonError as error:
        raise SourceError(str(error)) from error


def named_images(folder: Path, pattern: str) -> list[tuple[str, Path]]:
    """The names of the images of a folder, which are their ids, and their files, in order: numbers by value.

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
    return [(_stem(image.parts[place].removeprefix(before).removesuffix(after)), root / image) for image in paths]


def _stem(name: str) -> str:
    """A name without the suffix of an image, if it has one."""
    path = Path(name)
    return path.stem if path.suffix.lower() in SUFFIXES else name

# SPDX-License-Identifier: Apache-2.0
"""One image file, or a folder of them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np

from mtperception.data.dataset import DatasetError
from mtperception.data.files import check_sizes
from mtperception.data.folder_annotations import FolderAnnotations
from mtperception.dataset_json import ID, NAME, DatasetJsonError, FolderDescription, read_dataset_json
from mtperception.errors import MTPerceptionError, SourceError
from mtperception.image_files import SUFFIXES, named_images, read_rgb, stem
from mtperception.labels import LabelSpace, load_label_space
from mtperception.sources.source import DEPTH, LABELS, Frame, SourceOptions
from mtperception.types import Intrinsics

RATE = 10.0
"""Images per second when nothing else is asked for."""
IMAGES, POSES = 'images', 'poses'


class ImageFile:
    """A single image."""

    is_stream = False
    notes: tuple[str, ...] = ()
    rate = RATE
    count = 1
    poses = ''
    label_space: LabelSpace | None = None

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

    A `dataset.json` in the folder (`mtperception.data.folder`) may give the pattern of the image paths (`rgb`, with
    `{id}`, which names the frame), the camera, and labels, depth and poses. What of these cannot be read of an image is
    left out and counted; without `dataset.json` there are images only.
    """

    is_stream = False

    def __init__(self, spec: str, options: SourceOptions) -> None:
        self._folder = Path(spec).expanduser()
        description = _read_description(self._folder)
        self._camera = description and description.camera
        self._unfitted = ''
        """Of which image the camera is unknown, the first."""
        pattern = description.keys.get('rgb') if description else None
        images = named_images(self._folder, pattern or ID)
        # Where a pattern says what `{id}` is, annotations are called so, too.
        self._images = images if pattern else [(stem(name), path) for name, path in images]
        self._annotations = description and FolderAnnotations(self._folder, description)
        self._maps = options.maps
        self._refused: dict[str, dict[int, str]] = {}
        """Why something could not be read, by what it is and by the position of the image: each iteration finds it."""
        rate = options.rate or RATE
        self._period_ns = 1e9 / rate
        self.rate = rate / options.every
        self._positions = options.positions(len(self._images))
        self.count = len(self._positions)
        self.description = f'the folder {self._folder} (images: {len(self._images)})'
        self.poses = _poses(self._annotations)
        self.label_space = _label_space(self._annotations) if LABELS in self._maps else None

    @staticmethod
    def accepts(spec: str) -> bool:
        """Whether this is the path of a folder."""
        return Path(spec).expanduser().is_dir()

    def __iter__(self) -> Iterator[Frame]:
        """The frames at the folder's rate.

        Raises:
            SourceError: if none can be read.
        """
        is_empty = True
        for index in self._positions:
            _, path = self._images[index]
            image = self._read(IMAGES, index, lambda path=path: read_rgb(path))
            if image is not None:
                is_empty = False
                yield self._frame(index, image)
        if is_empty:
            first = next(iter(self._refused[IMAGES].values()))
            raise SourceError(f'none of {self.count} images can be read, the first: {first}')

    @property
    def notes(self) -> tuple[str, ...]:
        """How much could not be read, and why the first of each kind; whether the camera is of another shape."""
        unread = (
            f'{"" if what == IMAGES else f"{what} of "}{len(why)} of {self.count} images cannot be read, the first: '
            f'{next(iter(why.values()))}'
            for what, why in self._refused.items()
        )
        return (*unread, *filter(None, [self._unfitted]))

    def _frame(self, index: int, image: np.ndarray) -> Frame:
        name, _ = self._images[index]
        known = self._annotations
        return Frame(
            image,
            round(index * self._period_ns),
            self._fitted_camera(image, name),
            name,
            depth=self._map(DEPTH, known.depth, index, image) if known else None,
            labels=self._map(LABELS, known.labels, index, image) if known else None,
            T_world_camera=self._read(POSES, index, lambda: known.pose(name)) if known else None,
        )

    def _map(
        self, what: str, read: Callable[[str], np.ndarray | None], index: int, image: np.ndarray
    ) -> np.ndarray | None:
        """A map of an image, of its size, if it is asked for."""
        if what not in self._maps:
            return None

        def checked() -> np.ndarray | None:
            name, _ = self._images[index]
            map_ = read(name)
            check_sizes(f'{self._folder}: {name}', image, {what: map_})
            return map_

        return self._read(what, index, checked)

    def _read(self, what: str, index: int, read: Callable[[], np.ndarray | None]) -> np.ndarray | None:
        """What a function reads; None, and counted, if it cannot."""
        try:
            return read()
        except MTPerceptionError as error:
            self._refused.setdefault(what, {})[index] = str(error)
            return None

    def _fitted_camera(self, image: np.ndarray, name: str) -> Intrinsics | None:
        """The camera of an image; None, and noted, if it is of another shape."""
        height, width = image.shape[:2]
        fitted = self._camera and self._camera.for_image(width, height)
        if self._camera and fitted is None and not self._unfitted:
            found = f'{name} is {width}x{height}, {NAME} has a camera for'
            self._unfitted = f'{found} {self._camera.width}x{self._camera.height}: unknown for such images'
        return fitted


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


def _poses(annotations: FolderAnnotations | None) -> str:
    if annotations is None:
        return ''
    pattern = annotations.pose_pattern
    return f'matrices in {pattern}' if pattern else f'not known: {NAME} has no "pose" pattern'


def _label_space(annotations: FolderAnnotations | None) -> LabelSpace | None:
    try:
        return load_label_space(annotations.label_space) if annotations and annotations.label_space else None
    except DatasetError as error:
        raise SourceError(str(error)) from error

# SPDX-License-Identifier: Apache-2.0
"""A video file or a camera at this computer, through OpenCV."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from mtperception.errors import SourceError
from mtperception.labels import LabelSpace
from mtperception.sources.source import Frame, SourceOptions

WHOLE = 0.95
"""Share of its images, by its header, above which a video is taken to be complete: OpenCV estimates their number."""
RATE = 30.0
"""Frames per second of a video that does not say, and of most cameras."""
TIME_BASE = 1000.0
"""What is said to be so many frames per second or more is the clock of the file, not its rate."""
NO_VIDEO = (
    'not a video that OpenCV can read: is it truncated, or another format? Expected a video, an image (such as '
    '.jpg, .png) or a ROS 2 bag (.mcap, .db3)'
)
EMPTY = 'the file is empty: expected a video, an image or a ROS 2 bag'


class VideoFile:
    """A video of any format that OpenCV reads. Stamps are those of the file, whose rate may vary, as phones' do."""

    is_stream = True
    poses = ''
    label_space: LabelSpace | None = None

    def __init__(self, spec: str, options: SourceOptions) -> None:
        self.notes: tuple[str, ...] = ()
        self._path = Path(spec).expanduser()
        if not self._path.stat().st_size:
            raise SourceError(f'{self._path}: {EMPTY}')
        with _captured(_file(self._path), f'{self._path}: {NO_VIDEO}') as capture:
            rate, count = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self._rate = rate if 0 < rate < TIME_BASE else RATE
        self.rate = self._rate / options.every
        self._every, self._stated = options.every, max(0, int(count))
        self.count = len(options.positions(self._stated)) or None
        self.description = f'the video {self._path} ({self._rate:.3g} frames per second)'

    @staticmethod
    def accepts(spec: str) -> bool:
        """Whether this is the path of a file: videos have too many suffixes to list them."""
        return Path(spec).expanduser().is_file()

    def __iter__(self) -> Iterator[Frame]:
        """The frames with their stamps; one that has none, or is not after the last, follows it at the mean rate."""
        with _captured(_file(self._path), f'{self._path}: no longer readable') as capture:
            period_ns = round(1e9 / self._rate)
            index, stamp_ns = 0, -period_ns
            for index, image in enumerate(_images(capture, self._every)):
                stated = _stated_stamp_ns(capture)
                stamp_ns = stated if stated is not None and stated > stamp_ns else stamp_ns + period_ns
                if image is not None:
                    yield Frame(image, stamp_ns, None, f'{index:06d}')
        if index + 1 < WHOLE * self._stated:
            self.notes = (f'{index + 1} of {self._stated} images could be read: is it truncated?',)


class Webcam:
    """A camera that the operating system lists: `webcam:0` is the first."""

    is_stream = True
    count = None
    notes: tuple[str, ...] = ()
    poses = ''
    label_space: LabelSpace | None = None

    def __init__(self, spec: str, options: SourceOptions) -> None:
        number = spec.removeprefix('webcam:')
        if not number.isdecimal():
            raise SourceError(f'{spec!r}: expected webcam:N with the number of a camera, such as webcam:0')
        self._number, self._every = int(number), options.every
        self.rate = RATE / options.every
        self._problem = f'{spec}: no such camera, or in use by another program: see /dev/video*'
        with _captured(self._number, self._problem):
            self.description = f'the camera {spec}'

    @staticmethod
    def accepts(spec: str) -> bool:
        """Whether the text starts with `webcam:`."""
        return spec.startswith('webcam:')

    def __iter__(self) -> Iterator[Frame]:
        """The frames as the camera takes them, without an end."""
        with _captured(self._number, self._problem) as capture:
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # a slow reader gets new images, not old ones
            start = time.monotonic_ns()
            for index, image in enumerate(_images(capture, self._every)):
                if image is not None:
                    yield Frame(image, time.monotonic_ns() - start, None, f'{index:06d}')
        raise SourceError(f'webcam:{self._number}: the camera stopped sending images: is it still connected?')


def _file(path: Path) -> str:
    """A path as FFmpeg takes it for nothing else: what is before a colon would be a protocol."""
    return str(path.absolute())


def _stated_stamp_ns(capture: cv2.VideoCapture) -> int | None:
    """When the image that was read last is shown, by the file; None where it does not say."""
    milliseconds = capture.get(cv2.CAP_PROP_POS_MSEC)
    return round(milliseconds * 1e6) if math.isfinite(milliseconds) and milliseconds >= 0 else None


@contextmanager
def _captured(what: str | int, problem: str) -> Iterator[cv2.VideoCapture]:
    """An open capture that has at least one image."""
    capture = cv2.VideoCapture(what)
    try:
        if not capture.isOpened() or not capture.grab():
            raise SourceError(problem)
        yield capture
    finally:
        capture.release()


def _images(capture: cv2.VideoCapture, every: int) -> Iterator[np.ndarray | None]:
    """RGB images of a capture whose first one has been grabbed already; None for each that is skipped, undecoded."""
    index, is_grabbed = 0, True
    while is_grabbed:
        is_found, image = capture.retrieve() if index % every == 0 else (True, None)
        if not is_found:
            return
        yield None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        index, is_grabbed = index + 1, capture.grab()

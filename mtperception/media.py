# SPDX-License-Identifier: Apache-2.0
"""Pictures and videos: the order of their files, and writing them."""

import re
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

from mtperception.atomic_write import write_bytes_atomically
from mtperception.errors import InputError, WriteError

CODEC = 'mp4v'
"""In every build of OpenCV that has FFmpeg; no H.264 encoder is."""
LONGEST_SIDE = 8190
"""Pixels: an MPEG-4 video has no more, and an even number."""
SLOWEST, FASTEST = 0.1, 600.0
"""Images per second. The clock of an MPEG-4 video counts up to 65535 steps in a second."""
LONGEST_STILL = 10.0
"""Seconds. After a longer gap between two images a video goes on at once: the stream was interrupted, not slow."""


def by_number(name: str) -> list[tuple[str, int]]:
    """Sort key that puts 9.png before 10.png."""
    return [(text, int(digits or 0)) for text, digits in re.findall(r'(\D*)(\d*)', name)]


def write_image(path: Path, image: np.ndarray) -> None:
    """Write an image file, lossless where the suffix is `.png`; it is there completely or not at all.

    Args:
        path: the file; what was there is replaced.
        image: uint8 H,W,3, RGB, or uint8 or uint16 H,W.

    Raises:
        InputError: if OpenCV knows no format of this suffix for such an image.
        WriteError: if the file cannot be written.
    """
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    try:
        encoded, content = cv2.imencode(path.suffix, pixels)
    except cv2.error as error:
        raise InputError(f'{path}: not a name of an image of {image.dtype}: expected .png: {error.err}') from error
    if not encoded:
        raise InputError(f'{path}: OpenCV cannot encode {image.dtype} {image.shape}: expected a name that ends in .png')
    # OpenCV's own writer does not notice a disk that is full when it closes the file.
    write_bytes_atomically(path, content.tobytes())


class VideoWriter:
    """A video file that is opened at the first image and complete once it is closed; a context manager.

    If its process is killed, a file `.mkv` can be read up to its last quarter of a megabyte; one `.mp4` is lost.

    OpenCV says nothing when it cannot write: the file is read again when it is closed.

    Args:
        path: the file, `.mp4` or `.mkv`; what was there is replaced.
        rate: images per second; brought to a multiple of 0.01 between SLOWEST and FASTEST.
    """

    def __init__(self, path: Path, rate: float) -> None:
        self.path = path
        self.count = 0
        """Images written so far."""
        self._begun = 0
        """One more while an image is written, which a signal can interrupt when it is in the file already."""
        self.rate = round(min(max(rate, SLOWEST), FASTEST), 2)
        self._size: tuple[int, int] | None = None
        self._writer: cv2.VideoWriter | None = None

    def write(self, image: np.ndarray) -> None:
        """Append an image: uint8 H,W,3, RGB. One of another size than the first, or too large, is resized.

        Raises:
            WriteError: if the file cannot be written.
        """
        if self._writer is None:
            self._open(image.shape[1], image.shape[0])
        if (image.shape[1], image.shape[0]) != self._size:
            image = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA)
        self._begun += 1
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        self.count = self._begun

    def close(self) -> None:
        """Write the index that makes the file readable, and check it. Closing twice does nothing.

        Raises:
            WriteError: if the file has not become a video with all images.
        """
        if self._writer is not None:
            self._writer.release()
            self._writer = None
            self._check()

    def _check(self) -> None:
        found = count_frames(self.path)
        if not self.count <= found <= self._begun:
            raise WriteError(
                f'{self.path}: a video of {self.count} images was written, {found} can be read: expected space left '
                'on the disk'
            )

    def _open(self, width: int, height: int) -> None:
        scale = min(1.0, LONGEST_SIDE / max(width, height))
        self._size = (max(1, round(scale * width)), max(1, round(scale * height)))
        name = str(self.path.absolute())  # FFmpeg takes what is before a colon for a protocol
        writer = cv2.VideoWriter(name, cv2.VideoWriter_fourcc(*CODEC), self.rate, self._size)
        if not writer.isOpened():
            raise WriteError(
                f'{self.path}: OpenCV cannot write {CODEC} video of {"x".join(map(str, self._size))} here: expected '
                'space left and leave to write, and an OpenCV with FFmpeg (`pip install opencv-python-headless` has it)'
            )
        self._writer = writer

    def __enter__(self) -> 'VideoWriter':
        """The writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file. An error that ends the work is the one to tell, not that the video is incomplete, too."""
        if kind is None or not issubclass(kind, Exception):
            self.close()
        elif self._writer is not None:
            self._writer.release()
            self._writer = None


def count_frames(path: Path) -> int:
    """How many images a video file has by its index; 0 if the first or the last of them cannot be decoded."""
    capture = cv2.VideoCapture(str(path.absolute()))
    try:
        if not capture.isOpened() or not capture.read()[0]:
            return 0
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        if count == 1 or (capture.set(cv2.CAP_PROP_POS_FRAMES, count - 1) and capture.read()[0]):
            return count
        return 0
    finally:
        capture.release()


class RealTimeVideo:
    """Writes images that come at any time to a video, each shown until the next one: it plays as fast as they came.

    Args:
        video: where to write; to be closed by its owner.
    """

    def __init__(self, video: VideoWriter) -> None:
        self._video = video
        self._frame_ns = 1e9 / video.rate
        self._start_ns = 0.0
        self._last: tuple[int, np.ndarray] | None = None

    def write(self, image: np.ndarray, stamp_ns: int) -> None:
        """Show an image (uint8 H,W,3, RGB) from its stamp on, in nanoseconds.

        Images that come faster than the video plays are left out. Time that runs backwards starts again at this image.

        Raises:
            WriteError: if the file cannot be written.
        """
        if self._last is None or not 0 <= stamp_ns - self._last[0] <= LONGEST_STILL * 1e9:
            self._start_ns = stamp_ns - self._video.count * self._frame_ns
        else:
            self._repeat_until(stamp_ns)
        # Up to one frame early: of a steady stream whose stamps jitter, every image is shown once.
        if (self._video.count - 1) * self._frame_ns < stamp_ns - self._start_ns:
            self._video.write(image)
        self._last = stamp_ns, image

    def _repeat_until(self, stamp_ns: int) -> None:
        due = round((stamp_ns - self._start_ns) / self._frame_ns)
        for _ in range(due - self._video.count):
            self._video.write(self._last[1])

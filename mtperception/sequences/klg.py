# SPDX-License-Identifier: Apache-2.0
"""ElasticFusion's log: one file with all frames.

Little-endian: int32 number of frames; of each frame int64 stamp in microseconds, int32 size of the depth data, int32
size of the image data, and these data. Depth is 16 bits in millimetres, 0 = invalid, as it is or compressed by zlib.
The image is 8-bit RGB as it is, or a JPEG file whose red and blue are exchanged: Logger2, which records such logs,
hands RGB to an encoder that expects BGR, and ElasticFusion exchanges them again. A reader tells by the size alone
whether data are compressed.
"""

import struct
import zlib
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from mtperception.errors import InputError
from mtperception.geometry import depth_in_millimeters
from mtperception.sequences.writer import SequenceFrame, WriterOptions

DEPTH_COMPRESSIONS = ('zlib', 'none')
IMAGE_COMPRESSIONS = ('jpeg', 'none')
JPEG_QUALITY = 90
"""Logger2's."""


class KlgWriter:
    """Writes a .klg file. Implements `SequenceWriter`.

    Raises:
        ValueError: for an unknown compression.
        OSError: if the file cannot be written.
    """

    entries: ClassVar[tuple[str, ...]] = ()
    size: ClassVar[tuple[int, int] | None] = (640, 480)

    def __init__(self, path: Path, options: WriterOptions) -> None:
        _check(options.depth_compression, DEPTH_COMPRESSIONS)
        _check(options.image_compression, IMAGE_COMPRESSIONS)
        self._options = options
        self._count = 0
        self._file = path.open('wb')
        self._file.write(struct.pack('<i', 0))

    def write(self, frame: SequenceFrame) -> None:
        """Append a frame; stamps are cut to whole microseconds."""
        depth, image = self._depth(frame.depth), self._image(frame.image)
        self._file.write(struct.pack('<qii', frame.stamp_ns // 1000, len(depth), len(image)))
        self._file.write(depth)
        self._file.write(image)
        self._count += 1

    def close(self) -> None:
        """Put in the number of frames and close the file."""
        self._file.seek(0)
        self._file.write(struct.pack('<i', self._count))
        self._file.close()

    def _depth(self, depth: np.ndarray) -> bytes:
        raw = depth_in_millimeters(depth).astype('<u2').tobytes()
        return raw if self._options.depth_compression == 'none' else _smaller(raw, zlib.compress(raw, level=1))

    def _image(self, image: np.ndarray) -> bytes:
        if self._options.image_compression == 'none':
            return image.tobytes()
        # The encoder takes the bytes for BGR: the exchange that readers undo.
        encoded = cv2.imencode('.jpg', image, (cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY))[1].tobytes()
        return _smaller(image.tobytes(), encoded)


def _smaller(raw: bytes, compressed: bytes) -> bytes:
    """The compressed data unless they are as large as the raw ones, for which a reader would take them."""
    return compressed if len(compressed) < len(raw) else raw


def _check(compression: str, known: tuple[str, ...]) -> None:
    if compression not in known:
        raise InputError(f'unknown compression {compression!r}: expected one of {", ".join(known)}')

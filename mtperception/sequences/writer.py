# SPDX-License-Identifier: Apache-2.0
"""What every format offers, and the frames that it gets."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Protocol

import cv2
import numpy as np

from mtperception.input_policy import resize_nearest
from mtperception.labels import LabelSpace
from mtperception.types import Intrinsics

LabelWriter = Callable[[Path, LabelSpace, int], None]
"""Writes a file about the classes of a label space, given the offset from class indices to ids.

Raises ValueError if the format cannot say these classes with these ids.
"""


@dataclass(frozen=True)
class SequenceFrame:
    """One image with the depth that belongs to it."""

    image: np.ndarray
    """uint8 H,W,3, RGB."""
    depth: np.ndarray
    """float32 H,W: metres along the optical axis, 0 = invalid."""
    stamp_ns: int
    """Nanoseconds in the time of the recording."""
    intrinsics: Intrinsics | None = None
    """The camera, of exactly the image's size."""
    probabilities: np.ndarray | None = None
    """float16 C,h,w: of each class of the label space, at the resolution of the network's output."""
    T_world_camera: np.ndarray | None = None
    """float64 4,4: pose of the optical frame; None where it is not known."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.image.shape[1], self.image.shape[0]

    def resized(self, size: tuple[int, int]) -> 'SequenceFrame':
        """The same scene at another width and height, stretched if the shape differs; the camera goes along.

        Nothing is cropped. Depth is of the nearest pixel: between two objects there is nothing at the mean distance.
        """
        if size == self.size:
            return self
        shrinks = size[0] <= self.size[0] and size[1] <= self.size[1]
        return replace(
            self,
            image=cv2.resize(self.image, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR),
            depth=resize_nearest(self.depth, size),
            intrinsics=self.intrinsics and self.intrinsics.resized(*size),
        )


@dataclass(frozen=True)
class WriterOptions:
    """What some formats can be told; the others take no notice."""

    depth_compression: str = 'zlib'
    """Compression of depth in .klg files: zlib or none."""
    image_compression: str = 'jpeg'
    """Compression of images in .klg files: jpeg or none."""


class SequenceWriter(Protocol):
    """Writes a recording, frame by frame. It is complete once it is closed."""

    entries: ClassVar[tuple[str, ...]]
    """Names of what it writes into its folder; none if it writes a single file."""
    size: ClassVar[tuple[int, int] | None]
    """Width and height that the mapping system insists on; None if it takes any."""

    def __init__(self, path: Path, options: WriterOptions) -> None:
        """Begin a file at `path`, or fill the existing, empty folder `path`."""
        ...

    def write(self, frame: SequenceFrame) -> None:
        """Append a frame.

        Raises:
            OSError: if it cannot be written.
        """
        ...

    def close(self) -> None:
        """Write what can be known only at the end, and close all files."""
        ...

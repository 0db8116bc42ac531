# SPDX-License-Identifier: Apache-2.0
"""The camera of images without one, such as photographs and videos: a ROS calibration file."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mtperception.bounded_read import read_yaml, shortened
from mtperception.errors import InputError, SourceError
from mtperception.messages import RefusedCameraInfoError, intrinsics_from
from mtperception.sources.source import Source
from mtperception.types import Frame, Intrinsics

MATRICES = {'camera_matrix': 9, 'projection_matrix': 12}
"""How many numbers each has."""
EXPECTED = 'expected a calibration as camera_calibration and camera_info_manager write it'


def read_camera(path: str) -> Intrinsics:
    """The rectified camera of a calibration as ROS' camera_calibration and camera_info_manager write it.

    Args:
        path: a YAML file with `image_width`, `image_height`, `camera_matrix` and `projection_matrix`; without the last,
            the camera matrix counts. Distortion is not regarded.

    Raises:
        SourceError: if it cannot be read, lacks something, or is not calibrated.
    """
    file = Path(path).expanduser()
    try:
        content = read_yaml(file)
        if not isinstance(content, dict):
            raise InputError(f'found {type(content).__name__}')
        width, height = (_size(content, key) for key in ('image_width', 'image_height'))
        k = _numbers(content, 'camera_matrix')
        p = _numbers(content, 'projection_matrix') if 'projection_matrix' in content else [0.0] * 12
        roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
        info = SimpleNamespace(width=width, height=height, k=k, p=p, roi=roi, binning_x=0, binning_y=0)
        return intrinsics_from(info, width, height)
    except RefusedCameraInfoError as error:
        raise SourceError(f'{file}: {error}') from error
    except (OSError, InputError) as error:
        raise SourceError(f'{file}: {getattr(error, "strerror", None) or error}: {EXPECTED}') from error


def _size(content: dict[str, Any], key: str) -> int:
    value = content.get(key)
    if type(value) is not int or not 0 < value < 2**31:
        raise InputError(shortened(f'{key} is {value!r}, not a number of pixels'))
    return value


def _numbers(content: dict[str, Any], key: str) -> list[float]:
    matrix = content.get(key)
    data = matrix.get('data') if isinstance(matrix, dict) else None
    if not isinstance(data, list) or len(data) != MATRICES[key]:
        raise InputError(shortened(f'{key} is {matrix!r}, without data of {MATRICES[key]} numbers'))
    try:
        return [float(value) for value in data]  # also of a text: YAML 1.1 takes 1e-05 for one
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(shortened(f'data of {key}: {error}')) from error


class WithCamera:
    """A source whose frames without a camera get one. Implements `Source`.

    Args:
        source: gives the frames.
        path: of a calibration.

    Raises:
        SourceError: as `read_camera`.
    """

    def __init__(self, source: Source, path: str) -> None:
        self._source, self._path, self._camera = source, path, read_camera(path)
        self._said = {}
        """Why a frame did not get this camera, by kind: each is said once, however often the frames are read."""
        self.description, self.label_space = f'{source.description} (camera: {path})', source.label_space
        self.is_stream, self.rate, self.count = source.is_stream, source.rate, source.count

    @property
    def notes(self) -> tuple[str, ...]:
        """The source's, and why frames did not get this camera."""
        return (*self._source.notes, *self._said.values())

    @property
    def poses(self) -> str:
        """The source's."""
        return self._source.poses

    def __iter__(self) -> Iterator[Frame]:
        """The frames of the source."""
        for frame in self._source:
            yield replace(frame, intrinsics=frame.intrinsics or self._fitted(frame))
            if frame.intrinsics:
                self._said.setdefault('own', f'{self._path} is not used: {self._source.description} has a camera')

    def _fitted(self, frame: Frame) -> Intrinsics | None:
        height, width = frame.image.shape[:2]
        fitted = self._camera.for_image(width, height)
        if fitted is None:
            size = f'{self._camera.width}x{self._camera.height}'
            found = f'{frame.name} is {width}x{height}, the camera of {self._path} is for {size}'
            self._said.setdefault('aspect', f'{found}: the depth of images of another aspect is not scaled')
        return fitted

# SPDX-License-Identifier: Apache-2.0
"""The camera of images that do not tell theirs, such as photographs and videos: a calibration of ROS in a YAML file."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from mtperception.bounded_read import read_yaml
from mtperception.errors import InputError, SourceError
from mtperception.messages import RefusedCameraInfoError, intrinsics_from
from mtperception.sources.source import Source
from mtperception.types import Frame, Intrinsics

MATRICES = {'camera_matrix': 9, 'projection_matrix': 12}
"""How many numbers each has."""
_log = logging.getLogger(__name__)
EXPECTED = 'expected a calibration as camera_calibration and camera_info_manager write it'


class CameraFile:
    """A calibration as ROS' camera_calibration and camera_info_manager write it.

    Args:
        path: a YAML file with `image_width`, `image_height`, `camera_matrix` and `projection_matrix`; without the last,
            the camera matrix counts.

    Raises:
        SourceError: if it cannot be read, lacks something, or is not calibrated.
    """

    def __init__(self, path: str) -> None:
        self._path = Path(path).expanduser()
        try:
            content = read_yaml(self._path)
        except (OSError, InputError) as error:
            raise SourceError(f'{self._path}: {getattr(error, "strerror", None) or error}: {EXPECTED}') from error
        if not isinstance(content, dict):
            raise SourceError(f'{self._path}: found {type(content).__name__}: {EXPECTED}')
        width, height = (self._size(content, key) for key in ('image_width', 'image_height'))
        k = self._numbers(content, 'camera_matrix')
        p = self._numbers(content, 'projection_matrix') if 'projection_matrix' in content else [0.0] * 12
        roi = SimpleNamespace(x_offset=0, y_offset=0, width=0, height=0)
        self._info = SimpleNamespace(width=width, height=height, k=k, p=p, roi=roi, binning_x=0, binning_y=0)
        self.for_image(width, height)

    def for_image(self, width: int, height: int) -> Intrinsics:
        """The camera for images of a size.

        Raises:
            SourceError: if they have another aspect.
        """
        try:
            return intrinsics_from(self._info, width, height)
        except RefusedCameraInfoError as error:
            raise SourceError(f'{self._path}: {error}') from error

    def _size(self, content: dict[str, Any], key: str) -> int:
        value = content.get(key)
        if type(value) is not int or value < 1:
            raise SourceError(f'{self._path}: {key} is {value!r}: expected a number of pixels')
        return value

    def _numbers(self, content: dict[str, Any], key: str) -> list[float]:
        matrix = content.get(key)
        data = matrix.get('data') if isinstance(matrix, dict) else None
        if not isinstance(data, list) or len(data) != MATRICES[key] or {type(x) for x in data} - {int, float}:
            raise SourceError(f'{self._path}: {key} is {matrix!r}: expected data with {MATRICES[key]} numbers')
        return [float(value) for value in data]


class WithCamera:
    """A source whose frames without a camera get one. Implements `Source`."""

    def __init__(self, source: Source, camera: CameraFile) -> None:
        self._source, self._camera = source, camera

    def __getattr__(self, name: str) -> Any:
        """What a source says about itself."""
        return getattr(self._source, name)

    def __iter__(self) -> Iterator[Frame]:
        """The frames of the source; that the camera is not theirs, because their aspect is another, is said once."""
        fits = True
        for frame in self._source:
            intrinsics = frame.intrinsics
            height, width = frame.image.shape[:2]
            try:
                intrinsics = intrinsics or self._camera.for_image(width, height)
            except SourceError as error:
                if fits:
                    _log.warning('%s: %s: depth of such images is not scaled', frame.name, error)
                fits = False
            yield replace(frame, intrinsics=intrinsics)

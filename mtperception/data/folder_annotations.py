# SPDX-License-Identifier: Apache-2.0
"""What a folder with a `dataset.json` (`mtperception.data.folder`) has for its images: labels, depth and poses."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from mtperception.data.dataset import DatasetError
from mtperception.data.files import class_indices, read_map
from mtperception.dataset_json import ID, FolderDescription
from mtperception.errors import SourceError
from mtperception.geometry import is_valid
from mtperception.labels import IGNORE_INDEX, load_label_space

RIGID = 1e-2
"""How much a rotation matrix may differ from an orthonormal one: files have few digits."""


@dataclass(frozen=True)
class Labels:
    """How the labels of a folder are stored."""

    pattern: str
    space: str
    count: int
    ignored: int | None


@dataclass(frozen=True)
class Depth:
    """How the depth of a folder is stored."""

    pattern: str
    scale: float
    offset: float
    invalid: float | None


class FolderAnnotations:
    """The annotations of the images of a folder, read by the id of an image.

    Args:
        root: the folder.
        description: its `dataset.json`.
    """

    def __init__(self, root: Path, description: FolderDescription) -> None:
        self._root = root
        self._description = description
        self._depth = _depth(description.keys)
        self.pose_pattern: str = description.keys.get('pose', '')

    @property
    def label_space(self) -> str:
        """Name of the labels' space; empty without labels.

        Raises:
            DatasetError: if the space is unknown, or a class of it is said to be unlabelled.
        """
        return self._labels.space if self._labels else ''

    @cached_property
    def _labels(self) -> Labels | None:
        return _labels(self._description.path, self._description.keys)

    def labels(self, name: str) -> np.ndarray | None:
        """uint8 H,W: class indices, 255 = unlabelled; None if the folder has no labels.

        Raises:
            DatasetError: as `label_space`; if the file is missing or damaged, or has values that are no class.
        """
        if self._labels is None:
            return None
        path = self._path(self._labels.pattern, name)
        return class_indices(path, read_map(path), self._labels.count, self._labels.ignored)

    def depth(self, name: str) -> np.ndarray | None:
        """float32 H,W: metres along the optical axis, 0 = invalid; None if the folder has no depth.

        Raises:
            DatasetError: if the file is missing or damaged.
        """
        if self._depth is None:
            return None
        raw = read_map(self._path(self._depth.pattern, name))
        depth = (raw * self._depth.scale + self._depth.offset).astype(np.float32)
        known = is_valid(depth)
        if self._depth.invalid is not None:
            known &= raw != self._depth.invalid
        return np.where(known, depth, np.float32(0))

    def pose(self, name: str) -> np.ndarray | None:
        """`T_world_camera`, float64 4,4; None if the folder has no poses, or this image none (`read_matrix`).

        Raises:
            SourceError: if the file holds no pose.
        """
        return read_matrix(self._path(self.pose_pattern, name)) if self.pose_pattern else None

    def _path(self, pattern: str, name: str) -> Path:
        return self._root / pattern.replace(ID, name)


def read_matrix(path: Path) -> np.ndarray | None:
    """A pose as a text file of 4 x 4 numbers, as 7-Scenes and ScanNet have them.

    Returns:
        float64 4,4; None where the tracking was lost (values that are not finite) or there is no file.

    Raises:
        SourceError: if the file holds something else.
    """
    try:
        matrix = np.loadtxt(path)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SourceError(f'{path}: not a pose: {error}: expected 4 lines of 4 numbers') from error
    if matrix.shape != (4, 4):
        raise SourceError(f'{path}: found numbers of shape {matrix.shape}: expected 4 lines of 4 numbers')
    if not np.isfinite(matrix).all():
        return None
    rotation = matrix[:3, :3]
    off = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if off > RIGID or np.linalg.det(rotation) < 0:
        raise SourceError(f'{path}: its upper left 3 x 3 numbers are no rotation (off by {off:.2g}): expected a pose')
    return matrix


def _labels(path: Path, layout: Mapping[str, Any]) -> Labels | None:
    if 'labels' not in layout:
        return None
    try:
        beside = path.parent / layout['label_space']
        space = load_label_space(str(beside) if beside.is_file() else layout['label_space'])
    except (FileNotFoundError, ValueError) as error:
        raise DatasetError(f'{path}: label_space: {error}') from error
    ignored = layout.get('ignore_index', IGNORE_INDEX)
    if ignored is not None and 0 <= ignored < len(space):
        raise DatasetError(
            f'{path}: ignore_index {ignored} is the class {space.names[ignored]} of {space.name}: '
            f'expected a value outside of 0..{len(space) - 1}'
        )
    return Labels(layout['labels'], space.name, len(space), ignored)


def _depth(layout: Mapping[str, Any]) -> Depth | None:
    if 'depth' not in layout:
        return None
    # Not as whole numbers, by which an image of 8 or 16 bits would overflow.
    scale, offset = float(layout['depth_scale']), float(layout.get('depth_offset', 0))
    return Depth(layout['depth'], scale, offset, layout.get('depth_invalid'))

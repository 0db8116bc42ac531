# SPDX-License-Identifier: Apache-2.0
"""The generic data set: a folder with a `dataset.json` that says where its images and annotations are.

`dataset.json` holds

- `rgb`: the pattern of the image paths, with `{id}`; like all patterns absolute or relative to the folder;
- `labels`, `label_space`, `ignore_index` (default 255): 8- or 16-bit PNGs of class indices, and what is unlabelled;
- `depth`, `depth_scale`, `depth_offset` (default 0), `depth_invalid` (default null, no such value): PNGs;
  metres = raw value x scale + offset, but missing where the raw value is `depth_invalid`;
- `fx`, `fy`, `cx`, `cy`, `width`, `height`: the camera, in pixels of images of that size;
- `pose`: text files of 4 x 4 numbers, the pose of the camera's optical frame in the world (mapping).

Only `rgb` is required: what has no key is not annotated. Keys that are none of these are for other programs.
`<split>.txt` lists the ids of a split, one per line.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtperception.data.dataset import DatasetError
from mtperception.data.files import check_folder, check_sizes, class_indices, fit_camera, read_ids, read_image, read_map
from mtperception.dataset_json import NAME, DatasetJsonError, FolderDescription, read_dataset_json
from mtperception.errors import SourceError
from mtperception.labels import IGNORE_INDEX, load_label_space
from mtperception.sources.images import named_images
from mtperception.types import Sample


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


class Folder:
    """The folder that this module's documentation describes. Implements `Dataset`.

    Args:
        root: the folder.
        split: the name of its list of ids, or the path of one; None: all images that `rgb` names, in their order.

    Raises:
        DatasetError: if `dataset.json` or the list is missing or wrong.
    """

    def __init__(self, root: Path, split: str | None) -> None:
        check_folder(root, 'expected a folder with dataset.json and a list of ids, train.txt for example')
        description = read_description(root)
        layout = description.keys
        self._root = root
        self._image_pattern: str = layout['rgb']
        self._labels = _labels(description.path, layout)
        self._depth = _depth(layout)
        self._camera = description.camera
        self.pose_pattern: str = layout.get('pose', '')
        self.ids = _all_ids(root, self._image_pattern) if split is None else read_ids(root, split)
        self.label_space = self._labels.space if self._labels else ''

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample. The camera is that of the folder, if it fits the image.

        Raises:
            IndexError: outside of 0..len - 1.
            DatasetError: if a file is missing or damaged, or does not fit the image or the label space.
        """
        name = self.ids[index]
        image = read_image(self._path(self._image_pattern, name))
        labels = self._read_labels(name)
        depth = self._read_depth(name)
        check_sizes(f'{self._root}: sample {name}', image, {'labels': labels, 'depth values': depth})
        return Sample(image, labels, depth, fit_camera(self._camera, image, f'{self._root}: sample {name}'))

    def _read_labels(self, name: str) -> np.ndarray | None:
        if self._labels is None:
            return None
        path = self._path(self._labels.pattern, name)
        return class_indices(path, read_map(path), self._labels.count, self._labels.ignored)

    def _read_depth(self, name: str) -> np.ndarray | None:
        if self._depth is None:
            return None
        raw = read_map(self._path(self._depth.pattern, name))
        depth = (raw * self._depth.scale + self._depth.offset).astype(np.float32)
        known = np.isfinite(depth) & (depth > 0)
        if self._depth.invalid is not None:
            known &= raw != self._depth.invalid
        return np.where(known, depth, np.float32(0))

    def _path(self, pattern: str, name: str) -> Path:
        return self._root / pattern.replace('{id}', name)


def read_description(root: Path) -> FolderDescription:
    """The `dataset.json` of a data set.

    Raises:
        DatasetError: if there is none, or it is wrong, or does not say where the images are.
    """
    try:
        description = read_dataset_json(root)
        if description is None:
            raise DatasetError(f'{root / NAME}: no such file: expected a description with "rgb": "rgb/{{id}}.png"')
        description.require('rgb')
    except DatasetJsonError as error:
        raise DatasetError(str(error)) from error
    return description


def _all_ids(root: Path, pattern: str) -> list[str]:
    try:
        return [name for name, _ in named_images(root, pattern)]
    except SourceError as error:
        raise DatasetError(str(error)) from error


def _labels(path: Path, layout: Mapping[str, Any]) -> Labels | None:
    if 'labels' not in layout:
        return None
    try:
        space = load_label_space(layout['label_space'])
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
    return Depth(layout['depth'], layout['depth_scale'], layout.get('depth_offset', 0), layout.get('depth_invalid'))

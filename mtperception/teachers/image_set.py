# SPDX-License-Identifier: Apache-2.0
"""Images to be labelled, with what is already known about them."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtperception.data.dataset import DatasetError
from mtperception.data.files import fit_camera, list_of, read_ids, read_image
from mtperception.data.folder import Folder, read_description
from mtperception.dataset_json import NAME as LAYOUT
from mtperception.image_files import SUFFIXES, list_images
from mtperception.types import Intrinsics

LIST = '.txt'
"""What the file names of lists of ids end with."""


@dataclass(frozen=True)
class ImageSet:
    """A split of a folder of images. Files are read when they are asked for."""

    root: Path
    split: str
    """A name: of the list of ids in what is made of the images."""
    ids: tuple[str, ...]
    layout: Mapping[str, Any]
    """What its `dataset.json` says (`mtperception.data.folder`), or could say if it has none."""
    camera: Intrinsics | None = None

    def read(self, name: str) -> tuple[np.ndarray, Intrinsics | None]:
        """Image (uint8 H,W,3, RGB) and camera of an id; None where the camera is not known.

        Raises:
            DatasetError: if the file is missing or not an image.
        """
        image = read_image(self.root / self.layout['rgb'].replace('{id}', name))
        return image, fit_camera(self.camera, image, f'{self.root}: {name}')

    def layout_seen_from(self, folder: Path) -> dict[str, Any]:
        """The layout for a `dataset.json` in another folder: its paths lead to the files of this one."""

        def seen(value: Any) -> Any:
            is_path = isinstance(value, str) and ('{id}' in value or (self.root / value).is_file())
            return _path_between(folder, self.root / value) if is_path else value

        return {key: seen(value) for key, value in self.layout.items()}


def open_images(root: Path, split: str, camera: Intrinsics | None = None) -> ImageSet:
    """Open a data set in the `folder` layout, or a folder that just holds images.

    Args:
        root: the folder.
        split: the name or the path of a list of ids. Of a folder without a `dataset.json`, a name without a list
            stands for all images, and is what their list will be called.
        camera: that of the images, if no `dataset.json` says it.

    Raises:
        DatasetError: if there is no such folder or split, or no image, if a list has an id without an image, a name is
            not UTF-8, or a camera is given and known already.
    """
    of_camera = asdict(camera) if camera else {}
    if (root / LAYOUT).exists():
        ids = tuple(Folder(root, split).ids)  # which checks the description, too
        description = read_description(root)
        if camera and description.camera:
            raise DatasetError(f'{root / LAYOUT} has a camera: expected no other one')
        keys = {**description.keys, **of_camera}
        return ImageSet(root, _list_name(root, split), ids, keys, description.camera or camera)
    if not root.is_dir():
        raise DatasetError(f'{root}: no such folder: expected images, or a data set with a {LAYOUT}')
    paths = sorted(list_images(root))
    if not paths:
        expected = f'expected files that end in {", ".join(SUFFIXES)}'
        raise DatasetError(f'{root}: found neither a {LAYOUT} nor images: {expected}')
    suffixes = {path.suffix for path in paths}
    suffix = suffixes.pop() if len(suffixes) == 1 else ''
    ids = _chosen(root, split, tuple(path.name.removesuffix(suffix) for path in paths))
    if unwritable := next((name for name in ids if os.fsencode(name) != name.encode(errors='replace')), None):
        raise DatasetError(f'{root}: found the name {os.fsencode(unwritable)}, expected UTF-8: rename the file')
    return ImageSet(root, _list_name(root, split), ids, {'rgb': '{id}' + suffix, **of_camera}, camera)


def _chosen(root: Path, split: str, ids: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the ids of a folder without a `dataset.json` that a list names; all, if a name has no list."""
    path = list_of(root, split)
    if path is None:
        if Path(split).name != split or Path(split).suffix == LIST:
            raise DatasetError(
                f'{root}: no list {split!r}: expected the path of a file with one id per line, or a name, such as '
                'train, for the list of all images'
            )
        return ids
    chosen, known = tuple(read_ids(root, split)), set(ids)
    if unknown := next((name for name in chosen if name not in known), None):
        raise DatasetError(
            f'{path}: lists {unknown!r}, which {root} does not have: expected ids of its images, such as {ids[0]!r}'
        )
    return chosen


def _list_name(root: Path, split: str) -> str:
    """What a list is called: the name of a split, or a file's without its suffix."""
    path = list_of(root, split)
    return Path(split).name if path is None else path.stem


def _path_between(folder: Path, target: Path) -> str:
    """A relative path, or the absolute one where there is none (another drive)."""
    target = target.resolve()
    try:
        return Path(os.path.relpath(target, folder.resolve())).as_posix()
    except ValueError:
        return target.as_posix()

# SPDX-License-Identifier: Apache-2.0
"""Images to be labelled, with what is already known about them."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtperception.data.dataset import DatasetError
from mtperception.data.files import fit_camera, read_image
from mtperception.data.folder import Folder, read_description
from mtperception.dataset_json import NAME as LAYOUT
from mtperception.image_files import SUFFIXES, list_images
from mtperception.types import Intrinsics


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
        return {
            key: _path_between(folder, self.root / value) if isinstance(value, str) and '{id}' in value else value
            for key, value in self.layout.items()
        }


def open_images(root: Path, split: str, camera: Intrinsics | None = None) -> ImageSet:
    """Open a data set in the `folder` layout, or a folder that just holds images.

    Args:
        root: the folder.
        split: the name or the path of a list of ids. Of a folder without a `dataset.json` all images are taken, and
            this is what their list will be called.
        camera: that of the images, if no `dataset.json` says it.

    Raises:
        DatasetError: if there is no such folder or split, or no image, or if a camera is given and known already.
    """
    of_camera = asdict(camera) if camera else {}
    if (root / LAYOUT).exists():
        ids = tuple(Folder(root, split).ids)  # which checks the description, too
        description = read_description(root)
        path = Path(split)
        name = path.name if (root / f'{split}.txt').is_file() else path.stem
        if camera and description.camera:
            raise DatasetError(f'{root / LAYOUT} has a camera: expected no other one')
        return ImageSet(root, name, ids, {**description.keys, **of_camera}, description.camera or camera)
    if not root.is_dir():
        raise DatasetError(f'{root}: no such folder: expected images, or a data set with a {LAYOUT}')
    paths = sorted(list_images(root))
    if not paths:
        expected = f'expected files that end in {", ".join(SUFFIXES)}'
        raise DatasetError(f'{root}: found neither a {LAYOUT} nor images: {expected}')
    suffixes = {path.suffix for path in paths}
    suffix = suffixes.pop() if len(suffixes) == 1 else ''
    ids = tuple(path.name.removesuffix(suffix) for path in paths)
    return ImageSet(root, Path(split).name, ids, {'rgb': '{id}' + suffix, **of_camera}, camera)


def _path_between(folder: Path, target: Path) -> str:
    """A relative path, or the absolute one where there is none (another drive)."""
    target = target.resolve()
    try:
        return Path(os.path.relpath(target, folder.resolve())).as_posix()
    except ValueError:
        return target.as_posix()

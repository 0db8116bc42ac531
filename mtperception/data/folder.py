# SPDX-License-Identifier: Apache-2.0
"""The generic data set: a folder with a `dataset.json` that says where its images and annotations are.

`dataset.json` holds

- `rgb`: the pattern of the image paths, with `{id}`; like all patterns absolute or relative to the folder;
- `labels`, `label_space`, `ignore_index` (default 255): 8- or 16-bit PNGs of class indices, and what is unlabelled;
- `depth`, `depth_scale`, `depth_offset` (default 0), `depth_invalid` (default null, no such value): PNGs;
  metres = raw value x scale + offset, but missing where the raw value is `depth_invalid`;
- `fx`, `fy`, `cx`, `cy`, `width`, `height`: the camera, in pixels of images of that size;
- `pose`: text files of 4 x 4 numbers, the pose of the camera's optical frame in the world (`map`, `export-sequence`).

Only `rgb` is required: what has no key is not annotated. Keys that are none of these are for other programs.
`<split>.txt` lists the ids of a split, one per line.
"""

from pathlib import Path

from mtperception.data.dataset import DatasetError
from mtperception.data.files import check_folder, check_sizes, fit_camera, read_ids, read_image
from mtperception.data.folder_annotations import FolderAnnotations
from mtperception.dataset_json import ID, NAME, DatasetJsonError, FolderDescription, read_dataset_json
from mtperception.errors import SourceError
from mtperception.image_files import named_images
from mtperception.types import Sample


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
        self._root = root
        self._image_pattern: str = description.keys['rgb']
        self._annotations = FolderAnnotations(root, description)
        self._camera = description.camera
        self.ids = _all_ids(root, self._image_pattern) if split is None else read_ids(root, split)
        self.label_space = self._annotations.label_space

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
        image = read_image(self._root / self._image_pattern.replace(ID, name))
        labels, depth = self._annotations.labels(name), self._annotations.depth(name)
        check_sizes(f'{self._root}: sample {name}', image, {'labels': labels, 'depth values': depth})
        return Sample(image, labels, depth, fit_camera(self._camera, image, f'{self._root}: sample {name}'))


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

# SPDX-License-Identifier: Apache-2.0
"""Cityscapes: 5000 street images with fine labels and stereo depth (Cordts et al., CVPR 2016).

    leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png
    gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png
    disparity/train/aachen/aachen_000000_000019_disparity.png
    camera/train/aachen/aachen_000000_000019_camera.json

- `cityscapes` has the 19 classes that are evaluated;
- `cityscapes_7` has their categories.

Splits are `train` (2975) and `val` (500); of `test` the labels are not public. Without a disparity there is no depth.
Disparity is stored as 256 d + 1, 0 where it is not known; depth = baseline x fx / d, by the image's own camera file.
What is farther than 200 m is invalid.
"""

import json
from pathlib import Path

import numpy as np

from mtperception.data.dataset import DatasetError
from mtperception.data.files import check_folder, check_sizes, fit_camera, read_image, read_map
from mtperception.data.label_images import read_indices
from mtperception.image_files import is_hidden
from mtperception.labels import IGNORE_INDEX, load_label_space
from mtperception.types import Intrinsics, Sample

TRAIN_IDS = {
    7: 0,
    8: 1,
    11: 2,
    12: 3,
    13: 4,
    17: 5,
    19: 6,
    20: 7,
    21: 8,
    22: 9,
    23: 10,
    24: 11,
    25: 12,
    26: 13,
    27: 14,
    28: 15,
    31: 16,
    32: 17,
    33: 18,
}
"""Class index by the official id (cityscapesscripts, helpers/labels.py); other ids are not evaluated."""
SPACE = 'cityscapes_19'
SIZE = (2048, 1024)
"""Width and height that the camera files are about: copies at other sizes are common."""
MAX_DEPTH = 200.0
"""Metres: a disparity of about 2.4 pixels. Smaller ones are mostly errors of matching."""
IMAGE_SUFFIX = '_leftImg8bit'
EXPECTED = (
    'expected leftImg8bit and gtFine, and for depth disparity and camera, of cityscapes-dataset.com: register there, '
    'then unpack leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip, disparity_trainvaltest.zip and '
    'camera_trainvaltest.zip into this folder'
)


def class_of_id() -> np.ndarray:
    """uint8 256: the index in `SPACE` of each id in the label images; 255 for those that are left out."""
    table = np.full(256, IGNORE_INDEX, np.uint8)
    table[list(TRAIN_IDS)] = list(TRAIN_IDS.values())
    return table


def cityscapes(root: Path, split: str) -> 'Cityscapes':
    """19 classes."""
    return Cityscapes(root, split, SPACE)


def cityscapes_7(root: Path, split: str) -> 'Cityscapes':
    """Seven categories."""
    return Cityscapes(root, split, 'cityscapes_7')


class Cityscapes:
    """Images of a split, by city and name. Implements `Dataset`.

    Args:
        root: the folder with the four folders above.
        split: `train`, `val` or `test`.
        label_space: `cityscapes_19` or one that it is grouped into.

    Raises:
        DatasetError: if there is no image of that split.
    """

    def __init__(self, root: Path, split: str, label_space: str) -> None:
        check_folder(root, EXPECTED)
        paths = sorted((root / 'leftImg8bit' / split).glob(f'*/*{IMAGE_SUFFIX}.png'))
        names = [path.stem.removesuffix(IMAGE_SUFFIX) for path in paths if not is_hidden(path)]
        if not names:
            raise DatasetError(f'{root}: no images in leftImg8bit/{split}: {EXPECTED}')
        self.ids = names
        self.label_space = label_space
        self._root = root
        self._split = split
        self._table = load_label_space(SPACE).conversion(load_label_space(label_space))[class_of_id()]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            IndexError: outside of 0..len - 1.
            DatasetError: if a file is missing or damaged, annotations do not have the image's size, or a disparity has
                no camera file.
        """
        name = self.ids[index]
        image_path = self._path('leftImg8bit', name, f'{IMAGE_SUFFIX}.png')
        image = read_image(image_path)
        labels = read_indices(self._path('gtFine', name, '_gtFine_labelIds.png'), self._table)
        disparity, camera = self._path('disparity', name, '_disparity.png'), self._path('camera', name, '_camera.json')
        depth = intrinsics = None
        if disparity.is_file() and not camera.is_file():
            raise DatasetError(
                f'{camera}: missing: without it a disparity is no depth. Unpack camera_trainvaltest.zip too, or '
                'remove the folder disparity'
            )
        if camera.is_file():
            baseline, intrinsics = _read_camera(camera)
            # Disparities are in pixels of the original, whatever size the images are.
            depth = _depth(disparity, baseline * intrinsics.fx) if disparity.is_file() else None
            intrinsics = fit_camera(intrinsics, image, str(image_path))
        check_sizes(str(image_path), image, {'labels': labels, 'depth': depth})
        return Sample(image, labels, depth, intrinsics)

    def _path(self, folder: str, name: str, suffix: str) -> Path:
        return self._root / folder / self._split / name.partition('_')[0] / f'{name}{suffix}'


def _depth(path: Path, meters: float) -> np.ndarray:
    """float32 H,W: metres; `meters` is the depth of a disparity of one pixel."""
    raw = read_map(path)
    if raw.dtype != np.uint16:
        raise DatasetError(f'{path}: values of {raw.dtype}: expected the 16 bits of disparities')
    disparity = (raw.astype(np.float32) - 1) / 256
    depth = np.zeros(raw.shape, np.float32)
    np.divide(np.float32(meters), disparity, out=depth, where=raw > 1)  # 1 is a disparity of 0: infinitely far
    depth[depth > MAX_DEPTH] = 0
    return depth


def _read_camera(path: Path) -> tuple[float, Intrinsics]:
    """Baseline in metres, and the camera of the left image."""
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        inner = content['intrinsic']
        fx, fy, cx, cy = (float(inner[key]) for key in ('fx', 'fy', 'u0', 'v0'))
        baseline = float(content['extrinsic']['baseline'])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(
            f'{path}: not a Cityscapes camera file ({type(error).__name__}: {error}): expected intrinsic with '
            'fx, fy, u0, v0 and extrinsic with baseline'
        ) from error
    return baseline, Intrinsics(fx, fy, cx, cy, *SIZE)

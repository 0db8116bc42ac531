# SPDX-License-Identifier: Apache-2.0
"""KITTI: raw street images with the official annotated depth (Geiger et al., IJRR 2013; Uhrig et al., 3DV 2017).

    raw/<date>/calib_cam_to_cam.txt
    raw/<date>/<drive>/image_02/data/0000000005.png           2011_09_26/2011_09_26_drive_0002_sync, for example
    depth/train/<drive>/proj_depth/groundtruth/image_02/0000000005.png        16 bits, metres x 256, 0 missing
    depth/val/...

Depth is that of the LiDAR, accumulated over 11 frames and projected into the image; what moves and what the stereo
camera contradicts was taken out. Some images have none, such as the first five of a drive: their `Sample.depth` is
None.

A split is a list that the user gives, in either form in which Eigen's are around (697 test images; Eigen et al., NIPS
2014). What follows on a line is not read:

    2011_09_26/2011_09_26_drive_0002_sync/image_02/data/0000000069.png
    2011_09_26/2011_09_26_drive_0002_sync 0000000069 l
"""

import logging
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from mtperception.data.dataset import DatasetError
from mtperception.data.files import check_folder, check_sizes, fit_camera, read_ids, read_image, read_lines, read_map
from mtperception.download import RemoteFile
from mtperception.types import Intrinsics, Sample

LINE = re.compile(
    r'(?P<date>\d{4}_\d\d_\d\d)/(?P<drive>\d{4}_\d\d_\d\d_drive_\d{4}_sync)'
    r'(/image_(?P<camera>0[23])/(data/)?(?P<number>\d+)(\.(png|jpg))?|\s+(?P<frame>\d+)\s+(?P<side>[lr]))(\s|$)'
)
CAMERA_OF_SIDE = {'l': '02', 'r': '03'}
DEPTH_PER_METER = 256.0
HOST = 'https://s3.eu-central-1.amazonaws.com/avg-kitti'
EXPECTED = (
    'expected raw/<date>/calib_cam_to_cam.txt and raw/<date>/<drive>/image_02/data/*.png of '
    'cvlibs.net/datasets/kitti/raw_data.php, and depth/{train,val}/<drive>/proj_depth/groundtruth/image_02/*.png of '
    'cvlibs.net/datasets/kitti/eval_depth_all.php; to get them: '
    'mtperception download kitti --root FOLDER --split LIST'
)

logger = logging.getLogger(__name__)


class Kitti:
    """Images of a list with their depth and camera. Implements `Dataset`; there are no labels.

    Args:
        root: the folder with `raw` and `depth`.
        split: the list: `<root>/<split>.txt`, or a path.

    Raises:
        DatasetError: if the list is missing or wrong, or none of its images has depth.
    """

    label_space = ''

    def __init__(self, root: Path, split: str) -> None:
        check_folder(root, EXPECTED)
        self._root = root
        self.ids = read_ids(root, split, _id_of)
        self._depth_paths = [_depth_path(root, name) for name in self.ids]
        missing = self._depth_paths.count(None)
        if missing == len(self.ids):
            raise DatasetError(f'{root}: no depth for any image of split {split!r}: {EXPECTED}')
        if missing:
            logger.warning('%s: %d of the %d images of split %r have no depth', root, missing, len(self.ids), split)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        """Read one sample.

        Raises:
            IndexError: outside of 0..len - 1.
            DatasetError: if a file is missing or damaged, or the depth does not fit the image.
        """
        name = self.ids[index]
        drive, camera, number = _parts(name)
        image = read_image(self._root / 'raw' / drive / f'image_{camera}' / 'data' / f'{number}.png')
        depth = self._read_depth(index)
        check_sizes(f'{self._root}: {name}', image, {'depth values': depth})
        calibration = self._root / 'raw' / drive.split('/')[0] / 'calib_cam_to_cam.txt'
        intrinsics = fit_camera(read_calibration(calibration, camera), image, f'{self._root}: {name}')
        return Sample(image, depth=depth, intrinsics=intrinsics)

    def _read_depth(self, index: int) -> np.ndarray | None:
        path = self._depth_paths[index]
        if path is None:
            return None
        raw = read_map(path)
        if raw.dtype != np.uint16:
            raise DatasetError(f'{path}: values of {raw.dtype}: expected 16 bits, metres x {DEPTH_PER_METER:g}')
        return raw.astype(np.float32) / np.float32(DEPTH_PER_METER)


@cache
def read_calibration(path: Path, camera: str) -> Intrinsics:
    """The rectified camera `02` (left) or `03` (right) of a day's `calib_cam_to_cam.txt`.

    Raises:
        DatasetError: if the file is missing or lacks its `S_rect_` or `P_rect_`.
    """
    values = dict(line.split(':', 1) for line in read_lines(path) if ':' in line)
    try:
        width, height = (int(float(value)) for value in values[f'S_rect_{camera}'].split())
        projection = [float(value) for value in values[f'P_rect_{camera}'].split()]
        fx, _, cx, _, _, fy, cy, *_ = projection
    except (KeyError, ValueError) as error:
        raise DatasetError(f'{path}: expected S_rect_{camera} (2 numbers) and P_rect_{camera} (12): {error}') from error
    return Intrinsics(fx, fy, cx, cy, width, height)


def remote_files(root: Path, split: str) -> Sequence[RemoteFile]:
    """The annotated depth (14 GB), and calibration and colour images of the drives in a list.

    Raises:
        DatasetError: if there is no such list.
    """
    drives = sorted({_parts(name)[0] for name in read_ids(root, split, _id_of)})
    days = sorted({drive.split('/')[0] for drive in drives})
    depth = RemoteFile(f'{HOST}/data_depth_annotated.zip', 'depth', members=('*/groundtruth/image_0[23]/*.png',))
    calibrations = [RemoteFile(f'{HOST}/raw_data/{day}_calib.zip', 'raw', members=('*.txt',)) for day in days]
    return [depth, *calibrations, *(_drive_file(drive.split('/')[1]) for drive in drives)]


def _drive_file(drive: str) -> RemoteFile:
    folder = drive.removesuffix('_sync')
    return RemoteFile(f'{HOST}/raw_data/{folder}/{drive}.zip', 'raw', members=('*/image_0[23]/data/*.png',))


def _id_of(line: str) -> str:
    """<date>/<drive>/image_<camera>/<number> of a line of a list."""
    match = LINE.match(line)
    if match is None:
        raise DatasetError(
            f'{line!r} is not an image of KITTI: expected <date>/<drive>/image_02/data/<number>.png '
            'or <date>/<drive> <number> l'
        )
    camera = match['camera'] or CAMERA_OF_SIDE[match['side']]
    number = int(match['number'] or match['frame'])
    return f'{match["date"]}/{match["drive"]}/image_{camera}/{number:010d}'


def _parts(name: str) -> tuple[str, str, str]:
    """<date>/<drive>, camera and number of an id."""
    date, drive, camera, number = name.split('/')
    return f'{date}/{drive}', camera.removeprefix('image_'), number


def _depth_path(root: Path, name: str) -> Path | None:
    """The file of an image's depth; None if it has none."""
    drive, camera, number = _parts(name)
    inside = Path(drive.split('/')[1], 'proj_depth', 'groundtruth', f'image_{camera}', f'{number}.png')
    paths = (root / 'depth' / part / inside for part in ('train', 'val'))
    return next((path for path in paths if path.is_file()), None)

# SPDX-License-Identifier: Apache-2.0
"""Data sets: one file each, all giving Samples."""

from collections.abc import Callable, Sequence
from pathlib import Path

from mtperception.data import camvid, cityscapes, kitti, kitti_labels, nyuv2, sunrgbd
from mtperception.data.dataset import Dataset, DatasetError, DatasetFactory
from mtperception.data.folder import Folder
from mtperception.download import RemoteFile

__all__ = [
    'DATASETS',
    'DOWNLOADS',
    'Dataset',
    'DatasetError',
    'check_downloadable',
    'downloadable',
    'open_dataset',
    'remote_files',
]

DATASETS: dict[str, DatasetFactory] = {
    'folder': Folder,
    'nyuv2': nyuv2.nyuv2,
    'nyuv2_inpainted': nyuv2.nyuv2_inpainted,
    'nyuv2_13': nyuv2.nyuv2_13,
    'kitti': kitti.Kitti,
    'kitti_semantics': kitti_labels.kitti_semantics,
    'kitti_6': kitti_labels.kitti_6,
    'camvid': camvid.camvid,
    'camvid_segnet': camvid.camvid_segnet,
    'cityscapes': cityscapes.cityscapes,
    'cityscapes_7': cityscapes.cityscapes_7,
    'sunrgbd': sunrgbd.sunrgbd,
    'sunrgbd_without_nyuv2': sunrgbd.sunrgbd_without_nyuv2,
}
"""One line per data set; the documentation of its module says which files it reads."""

DOWNLOADS: dict[str, Callable[[Path, str], Sequence[RemoteFile]] | str] = {
    'folder': 'create it by hand or with mtperception label; docs/datasets.md says what it holds',
    'nyuv2': nyuv2.remote_files,
    'nyuv2_inpainted': nyuv2.remote_files,
    'nyuv2_13': nyuv2.remote_files,
    'kitti': kitti.remote_files,
    'kitti_semantics': kitti_labels.semantics_files,
    'kitti_6': kitti_labels.KITTI_6_EXPECTED,
    'camvid': camvid.remote_files,
    'camvid_segnet': camvid.SEGNET_EXPECTED,
    'cityscapes': cityscapes.EXPECTED,
    'cityscapes_7': cityscapes.EXPECTED,
    'sunrgbd': sunrgbd.EXPECTED,
    'sunrgbd_without_nyuv2': sunrgbd.EXPECTED,
}
"""The files of each data set for its folder and split; or, where a command cannot fetch them, how to get them."""


def open_dataset(name: str, root: str | Path, split: str = 'train') -> Dataset:
    """Open a split of a data set.

    Args:
        name: one of `DATASETS`.
        root: the folder that holds it.
        split: which of its lists of samples; or the path of a text file with one id per line.

    Raises:
        DatasetError: for an unknown name or split, or a folder that is not what the data set's documentation says.
    """
    if name not in DATASETS:
        raise DatasetError(f'unknown data set {name!r}: expected one of {", ".join(DATASETS)}')
    return DATASETS[name](Path(root).expanduser(), split)


def remote_files(name: str, root: Path, split: str) -> Sequence[RemoteFile]:
    """The files that a data set needs in its folder `root`; of `kitti`, those for the images of a list.

    Raises:
        DatasetError: for an unknown name, or a data set that has to be got by hand; the message says how.
    """
    return _source(name)(root, split)


def downloadable() -> list[str]:
    """The data sets whose files `remote_files` has."""
    return [name for name, source in DOWNLOADS.items() if not isinstance(source, str)]


def check_downloadable(name: str) -> None:
    """Raises DatasetError, as `remote_files` does, for a name that is none of `downloadable`."""
    _source(name)


def _source(name: str) -> Callable[[Path, str], Sequence[RemoteFile]]:
    if name not in DOWNLOADS:
        raise DatasetError(f'unknown data set {name!r}: expected one of {", ".join(downloadable())}')
    source = DOWNLOADS[name]
    if isinstance(source, str):
        raise DatasetError(f'{name} has no automatic download: {source}')
    return source

"""Data sets: one file each, all giving Samples."""

from pathlib import Path

from mtperception.data.dataset import Dataset, DatasetError, DatasetFactory
from mtperception.data.folder import Folder

__all__ = ['DATASETS', 'Dataset', 'DatasetError', 'open_dataset']

DATASETS: dict[str, DatasetFactory] = {
    'folder': Folder,
}
"""One line per data set; the documentation of its module says which files it reads."""


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

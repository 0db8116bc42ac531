# SPDX-License-Identifier: Apache-2.0
"""MATLAB files, of version 5 and of version 7.3 (HDF5), with errors that say which file and what is wrong with it."""

import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtperception.data.dataset import DatasetError
from mtperception.errors import needs

if TYPE_CHECKING:
    import h5py

_FAULTS = (ValueError, TypeError, OSError, NotImplementedError, IndexError, EOFError, MemoryError, zlib.error)
"""What SciPy raises for files that are no MATLAB files, or not all of one, besides its own MatReadError."""
HDF5_FAULTS = (OSError, RuntimeError, KeyError, IndexError)
"""What h5py raises where a file is damaged."""


def load_matlab(path: Path, name: str, expected: str, **options: Any) -> Any:
    """A variable of a file of version 5.

    Args:
        path: the file.
        name: of the variable.
        expected: what the data set's folder must hold, for the messages.
        options: of `scipy.io.loadmat`.

    Raises:
        DatasetError: if there is no such file or variable, or the file is damaged.
        MissingPackageError: if SciPy is missing.
    """
    with needs(path.name, 'SciPy', 'train'):
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError
    _check_is_file(path, expected)
    try:
        return loadmat(str(path), variable_names=[name], **options)[name]
    except KeyError as error:
        raise DatasetError(f'{path}: has no variable {name}: {expected}') from error
    except (*_FAULTS, MatReadError) as error:
        raise DatasetError(f'{path}: not a complete MATLAB 5 file ({error}): {expected}') from error


def open_hdf5(path: Path, expected: str) -> 'h5py.File':
    """A file of version 7.3; arguments and errors as for `load_matlab`, with h5py instead of SciPy."""
    with needs(path.name, 'h5py', 'train'):
        import h5py
    _check_is_file(path, expected)
    try:
        return h5py.File(path, 'r')
    except HDF5_FAULTS as error:
        raise DatasetError(f'{path}: not a complete HDF5 file ({error}): {expected}') from error


def _check_is_file(path: Path, expected: str) -> None:
    if not path.is_file():
        raise DatasetError(f'{path}: no such file: {expected}')

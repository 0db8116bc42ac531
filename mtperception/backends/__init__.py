# SPDX-License-Identifier: Apache-2.0
"""Backends run the exported graph: one file per library, listed in `registry`, chosen by `open_backend`."""

from mtperception.backends.backend import PRECISIONS, Backend, BackendUnavailableError, PreparationError
from mtperception.backends.registry import BACKENDS
from mtperception.backends.selection import AUTO_ORDER, open_backend

__all__ = [
    'AUTO_ORDER',
    'BACKENDS',
    'PRECISIONS',
    'Backend',
    'BackendUnavailableError',
    'PreparationError',
    'open_backend',
]

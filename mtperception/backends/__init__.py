"""Backends run the exported graph: one file per library, chosen by `open_backend`."""

from mtperception.backends.backend import BACKENDS, PRECISIONS, Backend, BackendUnavailableError
from mtperception.backends.selection import open_backend

__all__ = ['BACKENDS', 'PRECISIONS', 'Backend', 'BackendUnavailableError', 'open_backend']

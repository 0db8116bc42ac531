# SPDX-License-Identifier: Apache-2.0
"""Where built engines are kept, so that only the first start with a model waits for them."""

import os
from importlib import metadata
from pathlib import Path

from mtperception.card import GRAPH, ModelDirectory

_DISTRIBUTIONS = ('onnxruntime-gpu', 'onnxruntime')


def engine_cache(model: ModelDirectory, provider: str, version: str | None = None) -> Path:
    """Folder of the user's cache for the engines of this very graph; it need not exist.

    Args:
        model: whose graph; another graph has another folder.
        provider: what builds the engines, as in 'tensorrt'.
        version: of ONNX Runtime, by default the one installed: an engine is for the library that built it.
    """
    root = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    return root / 'mtperception' / provider / (version or _installed_version()) / model.card.sha256[GRAPH][:16]


def engine_folder(cache: Path, precision: str, shape: tuple[int, int, int]) -> Path:
    """Folder in `engine_cache` for the engine of one precision and shape (batch, height, width)."""
    batch, height, width = shape
    return cache / f'{precision}-{batch}x{height}x{width}'


def has_engine(folder: Path) -> bool:
    """Whether the engine of an `engine_folder` was built before."""
    return next(folder.rglob('*.engine'), None) is not None


def has_engines(cache: Path, precision: str) -> bool:
    """Whether a model was opened in a precision before: then the engine of its self-test, at least, was built."""
    return any(has_engine(folder) for folder in cache.glob(f'{precision}-*'))


def _installed_version() -> str:
    """Version of ONNX Runtime, without importing it, which takes long; 'none' if it is not installed."""
    for name in _DISTRIBUTIONS:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return 'none'

"""Where built engines are kept, so that only the first start with a model waits for them."""

import os
from pathlib import Path

from mtperception.card import GRAPH, ModelDirectory


def engine_cache(model: ModelDirectory) -> Path:
    """Folder of the user's cache for the engines of this very graph; it need not exist."""
    root = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    return root / 'mtperception' / 'tensorrt' / model.card.sha256[GRAPH][:16]


def has_engine(model: ModelDirectory) -> bool:
    """Whether an engine was built for this graph before."""
    return any(engine_cache(model).glob('*.engine'))

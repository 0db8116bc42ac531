# SPDX-License-Identifier: Apache-2.0
"""Workers that do the items of a job: in this process, or many of them on the machines of a Ray cluster.

Ray (https://www.ray.io, extra `ray`) starts the workers, feeds them and starts those again that die. What they make is
on disk before they say so, and who does an item has claimed it (`JobFile`): nothing depends on what Ray remembers.
"""

import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

logger = logging.getLogger(__name__)

OBJECT_STORE = 128 * 2**20
"""Bytes of shared memory that a Ray of one's own takes: only names and outcomes pass through it."""
LARGEST_BATCH = 16
"""Items that a worker is given at a time."""


@dataclass(frozen=True)
class Outcome:
    """What became of an item."""

    item: str
    kept: bool = False
    """Whether it was done already."""
    failed: str = ''
    """Why it could not be done."""


Worker = Callable[[Sequence[str]], Iterable[Outcome]]
"""Does items; it is made once for many of them, since it may hold a model."""


@dataclass(frozen=True)
class Workers:
    """How many workers there are, and where."""

    count: int
    address: str = ''
    """Address of a running Ray, in Ray's notation; empty: a Ray on this machine that ends with this process."""
    gpus: float = 0.0
    """GPUs of each; a fraction lets several share one."""


def distribute(open_worker: Callable[[], Worker], workers: Workers, items: Sequence[str]) -> Iterator[Outcome]:
    """Let workers do items.

    Args:
        open_worker: makes one; it is sent to the other processes, and so must be picklable.
        workers: how many and where.
        items: to be done.

    Yields:
        What became of each, in the order in which they are done. Without Ray, one worker in this process does all.
    """
    if not items:
        return
    try:
        import ray
    except ImportError:
        logger.warning('Ray is not installed: one worker does it in this process (pip install "mtperception[ray]")')
        yield from open_worker()(items)
        return
    with_ray = _connect(ray, workers)
    try:
        yield from _on_ray(open_worker, workers, items)
    finally:
        if with_ray:
            ray.shutdown()


def _connect(ray: Any, workers: Workers) -> bool:
    """Whether this is a connection of ours; in a process that has one it is used as it is."""
    if ray.is_initialized():
        return False
    own = {
        'include_dashboard': False,
        'object_store_memory': OBJECT_STORE,
        'num_cpus': max(workers.count, os.cpu_count() or 1),  # each worker takes one
    }
    options = {'address': workers.address} if workers.address else {'address': 'local', **own}
    ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    return True


def _on_ray(open_worker: Callable[[], Worker], workers: Workers, items: Sequence[str]) -> Iterator[Outcome]:
    import ray.data

    logging.getLogger('ray.data').setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    batch = max(1, min(LARGEST_BATCH, len(items) // (4 * workers.count)))
    done = ray.data.from_items([{'item': item} for item in items]).map_batches(
        _Actor,
        fn_constructor_args=(open_worker,),
        batch_size=batch,
        compute=ray.data.ActorPoolStrategy(size=workers.count),
        num_gpus=workers.gpus or None,
    )
    for row in done.iter_rows():
        yield Outcome(**json.loads(row['outcome']))


class _Actor:
    """A worker as Ray Data calls it."""

    def __init__(self, open_worker: Callable[[], Worker]) -> None:
        self._worker = open_worker()

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        return {'outcome': [json.dumps(asdict(outcome)) for outcome in self._worker(batch['item'].tolist())]}

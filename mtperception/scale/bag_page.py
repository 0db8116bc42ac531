# SPDX-License-Identifier: Apache-2.0
"""A page about many bags: figures of all, a table by group, and one by bag with the worst first."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mtperception.atomic_write import write_text_atomically
from mtperception.evaluation.page import format_metric, render
from mtperception.scale.bag_table import BagTable
from mtperception.tasks import metrics_by_name


def write_page(table: BagTable, out: Path) -> None:
    """Write `index.html` into a folder, made if need be; it needs nothing else.

    Raises:
        WriteError: if it cannot be written.
    """
    failed = [why if why.startswith(bag) else f'{bag}: {why}' for bag, why in table.failed.items()]
    page = render(
        'bags',
        title=f'{table.model}: {len(table.bags)} bags',
        heading=f'{table.model} on {len(table.bags)} bags',
        frames=table.frames,
        hardware=table.hardware,
        notes=failed,
        metrics={'all bags': dict(table.metrics)} if table.metrics else {},
        tables=list(_tables(table)),
        protocol=table.protocol,
    )
    write_text_atomically(out / 'index.html', page)


def shown_columns(table: BagTable) -> list[str]:
    """The metrics in the tables: of those for many bags, the ones that any bag has."""
    return [name for name, metric in metrics_by_name().items() if metric.headline and name in table.metrics]


def row(metrics: Mapping[str, float], columns: Sequence[str]) -> list[str]:
    """Metrics for people, in the order of some columns."""
    return [format_metric(metrics.get(name, np.nan), name) for name in columns]


def _tables(table: BagTable) -> Iterator[dict[str, Any]]:
    columns = shown_columns(table)
    if table.groups:
        yield {
            'title': 'By group',
            'columns': ['bags', 'images', *columns],
            'rows': [
                [name or 'none', bags, frames, *row(metrics, columns)]
                for name, (bags, frames, metrics) in table.groups.items()
            ],
        }
    if table.bags:
        yield {
            'title': 'By bag, the worst first',
            'columns': ['images', *columns],
            'rows': [[bag.bag, bag.frames, *row(bag.metrics, columns)] for bag in table.bags],
        }

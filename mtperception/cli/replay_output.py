# SPDX-License-Identifier: Apache-2.0
"""What `mtperception replay` says of a result: JSON for programs, tables for people."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from mtperception import __version__
from mtperception.cli.notes import say_notes
from mtperception.cli.tables import table_console
from mtperception.replay.alignment import ALIGNMENTS
from mtperception.replay.depth_scores import AlignedMetrics
from mtperception.replay.result import Replay
from mtperception.tasks import metric_of


def as_json(result: Replay, topics: Mapping[str, str]) -> dict[str, Any]:
    """What `--json` writes; a metric over nothing is null."""
    return {
        'mtperception': __version__,
        'command': 'replay',
        'model': result.model,
        'hardware': result.hardware,
        'topics': dict(topics),
        'notes': list(result.notes),
        'metrics': result.summary(),
        'frames': len(result.frames),
        'depth': _depth_json(result.depth) if result.depth else None,
        'depth_by_distance': {name: _depth_json(band) for name, band in result.by_band.items()},
        'depth_by_class': {name: _depth_json(group) for name, group in result.by_class.items()},
        'iou': result.iou,
        'series': list(result.series),
        'speed': result.speed(),
        'seconds': dict(result.seconds),
        'protocol': dict(result.protocol),
    }


def _depth_json(metrics: AlignedMetrics) -> dict[str, Any]:
    """Pixels, and the metrics by alignment."""
    return {'pixels': metrics.pixels, **metrics.compute()}


def print_result(result: Replay) -> None:
    """Tables for people."""
    console = table_console()
    table = Table('metric', 'value', title=f'{result.model}, {len(result.frames)} images')
    for name, value in result.summary().items():
        table.add_row(name, metric_of(name).format(value))
    console.print(table)
    if result.depth is not None:
        console.print(_alignment_table(result.depth))
        console.print(_group_table('distance', result.by_band))
    if result.by_class:
        console.print(_group_table('predicted class', result.by_class))
    speed = result.speed()
    alone = f'{speed["decoding_frames_per_second"]:.1f} of reading and decoding alone'
    console.print(f'{speed["frames_per_second"]:.1f} frames per second, {alone}')
    say_notes(result.notes)


def print_live(live: Mapping[str, Any]) -> None:
    """The figures of the run with the node."""
    counts = f'{live["frames_in"]} frames in, {live["frames_out"]} out, {live["dropped"]} dropped'
    table = Table('stage', 'p50 [ms]', 'p99 [ms]', title='live', caption=counts)
    for stage, figures in live['latency_ms'].items():
        table.add_row(stage, *('-' if value is None else f'{value:.2f}' for value in figures.values()))
    console = table_console()
    console.print(table)
    rates = ('-' if live[name] is None else f'{live[name]:.1f} Hz' for name in ('input_rate', 'output_rate'))
    console.print('in at {}, out at {}'.format(*rates))
    difference = ', '.join(
        f'{name} -' if value is None else f'{name} {value:g}' for name, value in live['difference'].items()
    )
    console.print(f'largest difference of live from offline: {difference}')


def _alignment_table(depth: AlignedMetrics) -> Table:
    computed = depth.compute()
    table = Table('metric', *computed, title='depth by alignment')
    for name in computed['raw']:
        table.add_row(name, *(metric_of(name).format(values[name]) for values in computed.values()))
    return table


def _group_table(title: str, groups: Mapping[str, AlignedMetrics]) -> Table:
    """RMSE under each alignment; most pixels first."""
    table = Table(title, 'pixels', *ALIGNMENTS, title=f'RMSE of depth by {title}')
    total = sum(group.pixels for group in groups.values())
    for name, group in sorted(groups.items(), key=lambda entry: -entry[1].pixels):
        values = (metric_of('rmse').format(metrics['rmse']) for metrics in group.compute().values())
        table.add_row(name, f'{group.pixels / total:.1%}', *values)
    return table

# SPDX-License-Identifier: Apache-2.0
"""`mtperception replay-many`: how good a model is on the recordings of a fleet."""

import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from mtperception import __version__
from mtperception.backends import BackendUnavailableError
from mtperception.card import open_model
from mtperception.cli.failures import check_failures
from mtperception.cli.folders import make_room_for_json, naming_option, write_json
from mtperception.cli.option_records import with_records
from mtperception.cli.options import JsonOption, TruthSpaceOption
from mtperception.cli.reports import prepare_report, report_needs
from mtperception.cli.settings import LabelledBagSettings, ModelSettings
from mtperception.cli.sharing import WorkerSettings, rate_progress
from mtperception.cli.tables import printed_in_any_case, table_console
from mtperception.cli.usage import check_label_options
from mtperception.errors import SourceError
from mtperception.replay.result import ordering_metrics
from mtperception.resources import from_anywhere
from mtperception.scale.bag_scorer import BagPlan, BagScorer, open_bag_scorer
from mtperception.scale.bag_table import BagTable, merge_bags
from mtperception.scale.workers import Workers, distribute
from mtperception.selftest import SelfTestError
from mtperception.tasks import metric_of

FOLDER = Path('replay-many.parts')


@with_records
def replay_many(
    bags: Annotated[list[Path], typer.Argument(help='rosbag2 folders, or .mcap or .db3 files.')],
    *,
    model: ModelSettings,
    reading: LabelledBagSettings,
    label_space: TruthSpaceOption = '',
    group: Annotated[
        str,
        typer.Option(
            metavar='REGEX', help=r"Also group bags by what this finds in their paths, such as 'robot_(\d+)'."
        ),
    ] = '',
    parts: Annotated[
        Path, typer.Option(metavar='DIR', help='Keep results here; bags that already have one are not scored again.')
    ] = FOLDER,
    workers: WorkerSettings,
    json_file: JsonOption = None,
    report: Annotated[
        Path | None, typer.Option(metavar='DIR', help='Write a page with the worst bags first here.')
    ] = None,
) -> None:
    """Score a model on many ROS 2 bags: per bag, per group and in total.

    Each bag is scored as by `mtperception replay`. Results are kept: run it again after an interruption or with more
    bags, and only the missing ones are scored, unless the model, the bag or an option has changed. Bags that cannot be
    used are listed at the end.

    Example: mtperception replay-many fleet/*/*.mcap --group 'fleet/(\\w+)/' --workers 2 --json fleet.json --report page
    """
    pool = workers.pool
    _check_pattern(group)
    check_label_options(label_space, reading)
    names = list(dict.fromkeys(str(bag.expanduser().absolute()) for bag in bags))
    if not any(map(os.path.lexists, names)):
        given = ', '.join(map(str, bags))
        raise SourceError(f'{given}: found no such file, expected rosbag2 folders, or .mcap or .db3 files')
    plan = BagPlan(
        from_anywhere('model', model.model),
        parts.expanduser().absolute(),
        reading.options,
        from_anywhere('labels', label_space),
        model.backend,
        model.device,
        model.precision,
    )
    if workers.dry_run:
        _print_plan(plan, names, workers)
        return
    with closing(plan):
        if not all(map(plan.is_done, names)):
            _check_model(plan, pool)
        write_page = _page_writer(report, names) if report else None
        if json_file:
            make_room_for_json(json_file)
        with naming_option('--parts', plan.folder):
            failed = _score(plan, names, pool)
    gone = [bag for bag in names if bag not in failed and not plan.is_done(bag)]
    failed |= dict.fromkeys(gone, 'changed or removed after it was scored: run it again')
    paths = {bag: plan.path(bag) for bag in names if bag not in failed}
    table = merge_bags(paths, failed, open_model(model.model), plan.truth_space, group)
    with printed_in_any_case(lambda: _print(table) if table.bags else None):
        if json_file:
            write_json(json_file, as_json(table), '--json')
        if write_page:
            with naming_option('--report', report):
                write_page(table, report)
            typer.echo(f'{report / "index.html"}: written', err=True)
    check_failures(failed, 'bags', 'repair them or leave them out')


def as_json(table: BagTable) -> dict[str, Any]:
    """What `--json` writes; a metric over nothing is null."""
    return {
        'mtperception': __version__,
        'command': 'replay-many',
        'model': table.model,
        'hardware': table.hardware,
        'metrics': table.metrics,
        'frames': table.frames,
        'groups': {
            name: {'bags': bags, 'frames': frames, 'metrics': metrics}
            for name, (bags, frames, metrics) in table.groups.items()
        },
        'bags': [vars(bag) for bag in table.bags],
        'failed': dict(table.failed),
        'protocol': dict(table.protocol),
    }


def _check_pattern(pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise typer.BadParameter(f'not a regular expression: {error}', param_hint='--group') from error


def _check_model(plan: BagPlan, pool: Workers | None) -> None:
    """Load the model before anything is read or written: no bag is to blame for what is wrong with it.

    Machines of a cluster may have what this one lacks: of their workers only what is unknown everywhere is refused.
    """
    try:
        plan.load()
    except (BackendUnavailableError, SelfTestError):
        if not (pool and pool.address):
            raise
    if pool:
        plan.close()


def _score(plan: BagPlan, names: Sequence[str], pool: Workers | None) -> dict[str, str]:
    """Score the bags that are not scored; why some could not be, in the order of the bags."""
    todo = [bag for bag in names if not plan.is_done(bag)]
    failed = {}
    with rate_progress('replaying bags', len(names)) as move, closing(BagScorer(plan)) as own:
        done = len(names) - len(todo)
        move(done)
        worker = partial(distribute, partial(open_bag_scorer, plan.copy()), pool) if pool else own
        for count, outcome in enumerate(worker(todo), done + 1):
            if outcome.failed:
                failed[outcome.item] = outcome.failed
            move(count)
    return {bag: failed[bag] for bag in names if bag in failed}


def _print_plan(plan: BagPlan, names: Sequence[str], workers: WorkerSettings) -> None:
    todo = [bag for bag in names if not plan.is_done(bag)]
    typer.echo(f'{len(names)} bags: {len(names) - len(todo)} are scored, {len(todo)} would be scored by {workers}')
    for bag in todo:
        typer.echo(bag)


def _page_writer(out: Path, bags: Sequence[str]) -> Callable[[BagTable, Path], None]:
    with report_needs('jinja2'):
        from mtperception.scale.bag_page import write_page
    prepare_report(out, bags)
    return write_page


def _print(table: BagTable) -> None:
    console = table_console()
    figures = Table('metric', 'value', title=f'{table.model}, {len(table.bags)} bags, {table.frames} images')
    for name, value in table.metrics.items():
        figures.add_row(name, metric_of(name).format(value))
    console.print(figures)
    metrics = [name for name in ordering_metrics() if name in table.metrics]
    if table.groups:
        groups = Table('group', 'bags', 'images', *metrics, title='by group')
        for name, (bags, frames, values) in table.groups.items():
            groups.add_row(name or 'none', str(bags), str(frames), *(_cell(values, metric) for metric in metrics))
        console.print(groups)
    by_bag = Table('bag', 'images', *metrics, title='by bag, the worst first')
    for bag in table.bags:
        by_bag.add_row(bag.bag, str(bag.frames), *(_cell(bag.metrics, metric) for metric in metrics))
    console.print(by_bag)


def _cell(metrics: Mapping[str, float], name: str) -> str:
    return metric_of(name).format(metrics.get(name, math.nan))

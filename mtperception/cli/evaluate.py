# SPDX-License-Identifier: Apache-2.0
"""`mtperception evaluate`: how good a model is on a data set."""

import math
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer
from rich.table import Table

from mtperception import __version__
from mtperception.cli.failures import check_failures
from mtperception.cli.folders import make_room_for_json, naming_option, write_json
from mtperception.cli.option_records import with_records
from mtperception.cli.options import JsonOption
from mtperception.cli.progress import progress
from mtperception.cli.reports import prepare_report, report_needs
from mtperception.cli.settings import ModelSettings
from mtperception.cli.sharing import (
    PartsOption,
    ShardOption,
    WorkerSettings,
    absolute_split,
    rate_progress,
)
from mtperception.cli.tables import printed_in_any_case, table_console
from mtperception.cli.usage import check_usage
from mtperception.data import DATASETS
from mtperception.data.fold import FOLDS
from mtperception.evaluation.comparison import NORMALS_WINDOW
from mtperception.evaluation.evaluate import Evaluation
from mtperception.evaluation.paper_protocols import PROTOCOLS, find_protocol
from mtperception.resources import from_anywhere
from mtperception.scale.part_folder import PartFolder, part_path
from mtperception.scale.shard import WHOLE, Shard
from mtperception.scale.shared_evaluation import (
    EvaluationPlan,
    ImageSelection,
    PartScorer,
    merge_parts,
    open_part_scorer,
    retry_failures,
)
from mtperception.scale.workers import Workers, distribute
from mtperception.tasks import metric_of


@with_records
def evaluate(
    dataset: Annotated[str, typer.Option(help=f'The data set: {", ".join(DATASETS)}.')],
    root: Annotated[Path, typer.Option(help='Folder of the data set.')],
    split: Annotated[str, typer.Option(help='Split, such as test; or a file with one id per line.')],
    *,
    model: ModelSettings,
    fold: Annotated[
        int | None,
        typer.Option(min=0, max=FOLDS - 1, help='Score only the images that training with this fold holds back.'),
    ] = None,
    normals_window: Annotated[
        int, typer.Option(min=3, help='Window for fitting true normals, in pixels; odd.')
    ] = NORMALS_WINDOW,
    protocol: Annotated[
        str, typer.Option(metavar='NAME', help=f'Also report the figures of a paper: {", ".join(PROTOCOLS)}.')
    ] = '',
    shard: ShardOption = WHOLE,
    parts: PartsOption = None,
    workers: WorkerSettings,
    json_file: JsonOption = None,
    report: Annotated[
        Path | None, typer.Option(metavar='DIR', help='Write a page with plots and the worst images here.')
    ] = None,
) -> None:
    """Compare a model's predictions with the truth of a data set.

    Maps are compared at the full resolution of the truth, for all tasks that both model and data set have. Metrics go
    to standard output; --json writes them to a file together with the protocol.

    Several processes with the same --parts divide the work, with or without --shard. The one that finishes last merges
    the parts, and so does every later run, which retries the images that could not be used. The result equals that of a
    single process. Images that cannot be used are left out and listed at the end.

    Example: mtperception evaluate --model nyuv2_indoor --dataset folder --root data/nyuv2 --split train --fold 5
    --json result.json --report report
    """
    check_usage(
        (shard != WHOLE and not parts, '--shard', 'expected together with --parts'),
        (workers.address and not parts, '--address', 'expected together with --parts, a folder that all machines see'),
    )
    pool = workers.pool
    find_protocol(protocol)
    plan = EvaluationPlan(
        from_anywhere('model', model.model),
        ImageSelection(dataset, root.absolute(), absolute_split(root, split), fold),
        normals_window,
        model.backend,
        model.device,
        model.precision,
        protocol,
    )
    if workers.dry_run:
        _print_plan(plan, parts, shard, workers)
        return
    write_report = _report_writer(report, root) if report else None
    if json_file:
        make_room_for_json(json_file)
    with closing(plan):
        evaluation = _evaluate(plan, parts, shard, pool)
        if not evaluation:
            return
        with printed_in_any_case(lambda: _print(evaluation)):
            if json_file:
                write_json(json_file, as_json(evaluation), '--json')
            if write_report:
                with progress('drawing', None), naming_option('--report', report):
                    write_report(evaluation, plan.evaluator.predictor, plan.images, report, normals_window)
                typer.echo(f'{report / "index.html"}: written', err=True)
    check_failures(evaluation.failed, 'images', f'repair them or remove their ids from {split}')


def _evaluate(plan: EvaluationPlan, parts: Path | None, shard: Shard, pool: Workers | None) -> Evaluation | None:
    """The whole evaluation, if nothing of it is missing once this share is scored."""
    with ExitStack() as stack:
        folder = (parts or Path(stack.enter_context(TemporaryDirectory()))).absolute()
        job = stack.enter_context(plan.open_folder(folder))
        with job.merging():  # nobody reads the parts meanwhile
            retry_failures(job)
        _score(plan, job, folder, shard, pool)
        with job.merging():
            if missing := len(job.missing()):
                typer.echo(f'{parts}: {missing} parts are not finished yet: run the other shards', err=True)
                return None
            return merge_parts(job, plan.selection.description)


def _score(plan: EvaluationPlan, job: PartFolder, folder: Path, shard: Shard, pool: Workers | None) -> None:
    """Score what is not yet scored of a share, in this process or by workers."""
    todo = [part for part in plan.share(shard) if not job.is_finished(part)]
    sizes = {str(part): len(plan.part(part)) for part in plan.share(shard)}
    done = sum(sizes.values()) - sum(sizes[str(part)] for part in todo)
    with rate_progress('evaluating', sum(sizes.values())) as move:
        move(done)
        own = PartScorer(plan, job, lambda count: move(done + count))
        there = partial(open_part_scorer, replace(plan), folder)  # a copy, without what is open here
        worker = partial(distribute, there, pool) if pool else own
        for outcome in worker([str(part) for part in todo]):
            done += sizes[outcome.item]
            move(done)


def _print_plan(plan: EvaluationPlan, parts: Path | None, shard: Shard, workers: WorkerSettings) -> None:
    share = plan.share(shard)
    done = sum(part_path(parts, part).exists() for part in share) if parts else 0
    images = sum(len(plan.part(part)) for part in share)
    left = len(share) - done
    typer.echo(f'{images} images in {len(share)} parts: {done} parts are done, {left} would be done by {workers}')


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """What `--json` writes; a metric over nothing is null."""
    return {
        'mtperception': __version__,
        'command': 'evaluate',
        'model': evaluation.model,
        'hardware': evaluation.hardware,
        **({'figures': evaluation.figures} if evaluation.paper else {}),
        'metrics': evaluation.summary(),
        'frames': evaluation.frames,
        'iou': evaluation.iou,
        'protocol': evaluation.protocol,
        **({'failed': dict(evaluation.failed)} if evaluation.failed else {}),
    }


def _report_writer(out: Path, root: Path) -> Callable[..., None]:
    with report_needs('matplotlib and jinja2'):
        from mtperception.evaluation.report import write_report
    prepare_report(out, [str(root)])
    return write_report


def _print(evaluation: Evaluation) -> None:
    metrics = Table('task', 'metric', 'value', title=f'{evaluation.model}, {evaluation.frames} images')
    for task, values in evaluation.metrics.items():
        for name, value in values.items():
            metrics.add_row(task, name, metric_of(name).format(value))
        metrics.add_section()
    console = table_console()
    if evaluation.figures:
        console.print(_table_of_figures(evaluation))
    console.print(metrics)
    if evaluation.iou:
        classes = Table('class', 'IoU', title='by class')
        for name, value in evaluation.iou.items():
            classes.add_row(name, 'absent' if math.isnan(value) else f'{value:.4f}')
        console.print(classes)


def _table_of_figures(evaluation: Evaluation) -> Table:
    figures = Table('figure', 'value', title=f'as {evaluation.paper} has it')
    for name, value in evaluation.figures.items():
        figures.add_row(name, f'{value:.4f}')
    return figures

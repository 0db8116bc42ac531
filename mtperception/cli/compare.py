# SPDX-License-Identifier: Apache-2.0
"""`mtperception compare`: one table of several models, how good they are and what they cost."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from mtperception import __version__
from mtperception.atomic_write import atomic_file
from mtperception.backends import BACKENDS
from mtperception.benchmark.benchmark import Shape
from mtperception.benchmark.timing import Budget
from mtperception.cli.folders import make_room_for, make_room_for_json, naming_option, write_json
from mtperception.cli.options import DeviceOption, JsonOption, PrecisionOption
from mtperception.cli.progress import progress
from mtperception.cli.sizes import parse_size
from mtperception.cli.tables import table_console
from mtperception.data import DATASETS
from mtperception.data.dataset import Dataset
from mtperception.data.fold import FOLDS
from mtperception.errors import InputError, needs
from mtperception.evaluation.evaluate import Evaluator, conclude
from mtperception.hardware import describe_hardware
from mtperception.predictor import Predictor
from mtperception.resources import from_anywhere
from mtperception.scale.shared_evaluation import ImageSelection
from mtperception.synthetic import SyntheticRoom
from mtperception.tasks import TASKS, metric_of, metrics_of

_Column = tuple[str, str, Callable[[Any], str]]
"""Key in the JSON, heading, and how a value is written."""
MODEL: tuple[_Column, ...] = (
    ('model', 'model', '{}'.format),
    ('network', 'network', '`{}`'.format),
    ('input', 'input', '{}'.format),
    ('parameters', 'parameters', '{:,}'.format),
    ('gflops', 'GFLOPs', '{:.1f}'.format),
)
COST: tuple[_Column, ...] = (
    ('forward_ms', 'forward ms', '{:.1f}'.format),
    ('frame_ms', 'frame ms', '{:.1f}'.format),
    ('ratio', 'ratio', '{:.2f}'.format),
)
"""Columns before and behind those of the scores."""


def compare(
    models: Annotated[list[str], typer.Argument(help='Model directories or names; the first is the baseline.')],
    dataset: Annotated[str, typer.Option(help=f'Data set to score the models on: {", ".join(DATASETS)}.')],
    root: Annotated[Path, typer.Option(help='Root folder of the data set.')],
    split: Annotated[str, typer.Option(help='Split (`<split>.txt`), or a file with one id per line.')],
    fold: Annotated[
        int | None,
        typer.Option(min=0, max=FOLDS - 1, help='Only the part that training with this fold holds back.'),
    ] = None,
    size: Annotated[str, typer.Option(metavar='WxH', help='Frame size for the timing.')] = '640x480',
    seconds: Annotated[float, typer.Option(min=0, help='Time for all measurements together.')] = 60.0,
    backend: Annotated[str, typer.Option(help=f'{", ".join(BACKENDS)}.')] = 'openvino',
    device: DeviceOption = 'cpu',
    precision: PrecisionOption = 'auto',
    json_file: JsonOption = None,
    markdown: Annotated[Path | None, typer.Option(metavar='FILE', help='Write the table as Markdown here.')] = None,
) -> None:
    """Score several models on the same images, and measure the cost of each.

    Each model resizes images by its own input policy; timings take turns. `forward` is the network alone, `frame` the
    time from the bytes of a frame to all maps at its size; `ratio` is how many times slower than the first model.

    Example: mtperception compare models/a models/b --dataset folder --root data/nyuv2 --split train --fold 5
    --markdown table.md
    """
    with needs('compare', 'PyTorch', 'train'):
        from mtperception.benchmark.systems import measure_systems
    if backend not in BACKENDS:
        raise InputError(f'unknown backend {backend!r}: expected {", ".join(BACKENDS)}')
    shape = Shape(*parse_size(size, '--size'))
    if json_file:
        make_room_for_json(json_file)
    if markdown:
        make_room_for(markdown, '--markdown')
    names = [from_anywhere('model', model) for model in models]
    selection = ImageSelection(dataset, root.absolute(), split, fold)
    with ExitStack() as stack:
        predictors = [stack.enter_context(closing(Predictor(name, backend, device, precision))) for name in names]
        place = _place(predictors)
        metrics = _score(predictors, selection.images)
        frame = SyntheticRoom(shape.width, shape.height).frame(2.0).image
        with progress('measuring', None):
            costs = measure_systems(predictors, frame, Budget(seconds))
        rows = [_row(*one) for one in zip(predictors, metrics, costs, strict=True)]
    content = {
        'mtperception': __version__,
        'command': 'compare',
        'hardware': describe_hardware(),
        'backend': place,
        'size': [shape.width, shape.height],
        'selection': selection.description,
        'models': rows,
    }
    if json_file:
        write_json(json_file, content, '--json')
    if markdown:
        with naming_option('--markdown'), atomic_file(markdown) as part:
            part.write_text(as_markdown(content), encoding='utf-8')
    _print(rows)


def _score(predictors: Sequence[Predictor], images: Dataset) -> list[Mapping[str, float]]:
    """The metrics of each model on the same images."""
    evaluators = [Evaluator(predictor, images) for predictor in predictors]  # refuses other classes before the work
    summaries = []
    with progress('scoring', len(predictors) * len(images)) as move:
        for index, evaluator in enumerate(evaluators):
            done = index * len(images)
            scores = evaluator.scores(range(len(images)), on_image=lambda count, done=done: move(done + count))
            summaries.append(conclude(evaluator.setting, scores, {'images': len(images)}).summary())
    return summaries


def _place(predictors: Sequence[Predictor]) -> str:
    """What all of them run on; InputError if it is not the same, as when a self-test fails on one device of `auto`."""
    places = {predictor.backend.description for predictor in predictors}
    if len(places) > 1:
        raise InputError(
            f'found models on {" and ".join(sorted(places))}: expected one: choose it by --device and --precision'
        )
    return places.pop()


def _row(predictor: Predictor, metrics: Mapping[str, float], cost: Any) -> dict[str, Any]:
    policy = predictor.input_policy
    return {
        'model': predictor.card.name,
        'network': predictor.card.network,
        'input': f'{policy.policy} {policy.width}x{policy.height}',
        'parameters': cost.parameters,
        'gflops': cost.gflops,
        **{name: _known(metrics, name) for name in _scores()},
        'forward_ms': cost.forward.median_ms,
        'frame_ms': cost.frame.median_ms,
        'ratio': cost.ratio,
        'runs': cost.frame.runs,
        'procedure': predictor.card.training.get('procedure', ''),
    }


def _known(metrics: Mapping[str, float], name: str) -> float | None:
    """A metric; None of a task that the model lacks, and over nothing."""
    value = metrics.get(name, math.nan)
    return None if math.isnan(value) else value


def _scores() -> list[str]:
    """The metrics of tasks that models are compared by."""
    return [name for name in metrics_of(list(TASKS)) if metric_of(name).headline]


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[_Column]:
    """Those of the table: of the scores, the ones that any of the models has."""
    scores = []
    for name in _scores():
        if any(row[name] is not None for row in rows):
            metric = metric_of(name)
            heading = f'{metric.heading(name)} {metric.unit.symbol.strip()}'.strip()
            scores.append((name, heading, metric.unit.number))
    return [*MODEL, *scores, *COST]


def _cells(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The heading and the rows as people read them; a dash for what a model does not give."""
    columns = _columns(rows)
    cells = ([('-' if row[key] is None else write(row[key])) for key, _, write in columns] for row in rows)
    return [[heading for _, heading, _ in columns], *cells]


def as_markdown(content: Mapping[str, Any]) -> str:
    """The table, and what it was measured on."""
    width, height = content['size']
    selection = ', '.join(f'{name} {value}' for name, value in content['selection'].items())
    heading, *cells = _cells(content['models'])
    lines = [heading, ['---'] * len(heading), *cells]
    table = '\n'.join(f'| {" | ".join(line)} |' for line in lines)
    return (
        f'{table}\n\nScores: {selection}; each at the size of the truth. Times: medians of frames of {width}x{height}, '
        f'in turns, {content["backend"]}, {content["hardware"]}. GFLOPs are those of a frame, a multiply-add counts as '
        'two.\n'
    )


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    console = table_console()
    heading, *cells = _cells(rows)
    table = Table(*heading, box=SIMPLE_HEAD)
    for row in cells:
        table.add_row(*row)
    console.print(table)

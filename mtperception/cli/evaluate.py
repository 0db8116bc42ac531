"""`mtperception evaluate`: how good a model is on a data set."""

import json
import math
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mtperception import __version__
from mtperception.backends import BACKENDS
from mtperception.backends.backend import PRECISIONS
from mtperception.card import DEFAULT_MODEL
from mtperception.cli.folders import check_apart, make_folder, make_room_for
from mtperception.cli.progress import progress
from mtperception.data import DATASETS, open_dataset
from mtperception.data.fold import FOLDS, Subset, held_back
from mtperception.evaluation.evaluate import NORMALS_WINDOW, Evaluation
from mtperception.evaluation.evaluate import evaluate as evaluate_model
from mtperception.predictor import Predictor


def evaluate(
    dataset: Annotated[str, typer.Option(help=f'The data set: {", ".join(DATASETS)}.')],
    root: Annotated[Path, typer.Option(help='The folder that holds it.')],
    split: Annotated[str, typer.Option(help='Which of its lists of images; or a file with one id per line.')],
    model: Annotated[str, typer.Option(help='Model directory, or the name of an installed model.')] = DEFAULT_MODEL,
    backend: Annotated[str, typer.Option(help=f'auto, {", ".join(BACKENDS)}.')] = 'auto',
    device: Annotated[str, typer.Option(help='auto, cpu, cuda:N or tensorrt:N.')] = 'auto',
    precision: Annotated[str, typer.Option(help=f'auto, {", ".join(PRECISIONS)}.')] = 'auto',
    fold: Annotated[
        int | None,
        typer.Option(min=0, max=FOLDS - 1, help='Only the part that training with this fold holds back.'),
    ] = None,
    normals_window: Annotated[
        int, typer.Option(min=3, help='Pixels of the windows that true normals are fitted over; odd.')
    ] = NORMALS_WINDOW,
    json_file: Annotated[Path | None, typer.Option('--json', metavar='FILE', help='Write the result here.')] = None,
    report: Annotated[
        Path | None, typer.Option(metavar='DIR', help='Write a page with plots and the worst images here.')
    ] = None,
) -> None:
    """Compare a model's predictions with the truth of a data set.

    Maps are compared at the full resolution of the truth, for all tasks that model and data set have in common. Metrics
    go to standard output, and with --json to a file together with the protocol that they were measured by.

    Example: mtperception evaluate --model nyuv2_indoor --dataset folder --root data/nyuv2 --split train --fold 5
    --json result.json --report report
    """
    images = open_dataset(dataset, root, split)
    selection = {'dataset': dataset, 'split': split}
    if fold is not None:
        part = held_back(len(images), fold)
        if not part:
            raise ValueError(f'{root}: fold {fold} has none of the {len(images)} images of {split}: leave --fold out')
        images = Subset(images, part)
        selection['fold'] = f'{fold}: of every hundred ids the ten from {10 * fold} on'
    write_report = _prepare_report(report, root) if report else None
    if json_file:
        make_room_for(json_file, '--json')
    with closing(Predictor(model, backend, device, precision)) as predictor:
        with progress('evaluating', len(images)) as move:
            evaluation = evaluate_model(
                predictor, images, selection=selection, normals_window=normals_window, on_image=move
            )
        if json_file:
            json_file.write_text(json.dumps(as_json(evaluation), indent=1) + '\n', encoding='utf-8')
        _print(evaluation)
        if report:
            with progress('drawing', None):
                write_report(evaluation, predictor, images, report)
            typer.echo(f'{report / "index.html"}: written', err=True)


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """What `--json` writes; a metric over nothing is null."""
    return {
        'mtperception': __version__,
        'command': 'evaluate',
        'model': evaluation.model,
        'hardware': evaluation.hardware,
        'metrics': _null_for_nan(evaluation.summary()),
        'frames': evaluation.frames,
        'iou': _null_for_nan(evaluation.iou),
        'protocol': evaluation.protocol,
    }


def _null_for_nan(values: dict[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def _prepare_report(out: Path, root: Path) -> Callable[..., None]:
    """The function that writes a report. What it lacks is said before the images are worked through, not after."""
    try:
        from mtperception.evaluation.report import write_report
    except ImportError as error:
        raise ImportError(
            f'--report needs matplotlib and jinja2 ({error}): pip install "mtperception[train]"'
        ) from error
    check_apart(out, [str(root)], '--report')
    make_folder(out, '--report')
    return write_report


def _print(evaluation: Evaluation) -> None:
    metrics = Table('task', 'metric', 'value', title=f'{evaluation.model}, {evaluation.frames} images')
    for task, values in evaluation.metrics.items():
        for name, value in values.items():
            metrics.add_row(task, name, f'{value:.4f}')
        metrics.add_section()
    console = Console()
    console.print(metrics)
    if evaluation.iou:
        classes = Table('class', 'IoU', title='by class')
        for name, value in evaluation.iou.items():
            classes.add_row(name, 'absent' if math.isnan(value) else f'{value:.4f}')
        console.print(classes)

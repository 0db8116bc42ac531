# SPDX-License-Identifier: Apache-2.0
"""`mtperception benchmark`: how fast a model is on this machine."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from mtperception import __version__
from mtperception.atomic_write import atomic_file
from mtperception.backends import BACKENDS, PRECISIONS
from mtperception.benchmark.benchmark import Benchmark, Result, Shape
from mtperception.benchmark.benchmark import benchmark as run_benchmark
from mtperception.benchmark.candidates import list_candidates
from mtperception.benchmark.timing import Budget
from mtperception.card import DEFAULT_MODEL
from mtperception.cli.folders import check_apart, make_room_for, make_room_for_json, naming_option, write_json
from mtperception.cli.options import JsonOption, ModelOption
from mtperception.cli.progress import progress
from mtperception.cli.sizes import parse_size
from mtperception.cli.tables import printed_in_any_case, table_console
from mtperception.cli.usage import check_usage
from mtperception.errors import InputError, RunError, needs
from mtperception.hardware import describe_hardware
from mtperception.image_files import read_rgb
from mtperception.tasks import CLASSES, DIRECTIONS, METRES, SHARES, graph_output

SIZE = '640x480'
SECONDS = 10.0
BASELINE = 'the same network in eager PyTorch, fp32, NCHW, forward pass only'
PLOTS = ('.png', '.svg', '.pdf')

_Columns = tuple[tuple[str, str, str], ...]
"""Columns of a table: key of a row in the JSON, heading, format."""


def benchmark(
    model: ModelOption = DEFAULT_MODEL,
    backend: Annotated[list[str] | None, typer.Option(help=f'{", ".join(BACKENDS)}; may be repeated.')] = None,
    device: Annotated[list[str] | None, typer.Option(help='cpu, cuda:N or tensorrt:N; may be repeated.')] = None,
    precision: Annotated[list[str] | None, typer.Option(help=f'{", ".join(PRECISIONS)}; may be repeated.')] = None,
    size: Annotated[
        list[str] | None, typer.Option(metavar='WxH', help=f'Size of images, by default {SIZE}; may be repeated.')
    ] = None,
    batch: Annotated[
        list[int] | None,
        typer.Option(
            min=1, help='Images per batch, by default 1, at all sizes; may be repeated: further ones at the first size.'
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0, help='How long each combination is measured.')] = SECONDS,
    iterations: Annotated[
        int | None, typer.Option(min=1, help='Number of runs of each combination, instead of --seconds.')
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(metavar='FILE', help='Image to run on instead of a rendered one; may be repeated.'),
    ] = None,
    json_file: JsonOption = None,
    plot: Annotated[
        Path | None, typer.Option(metavar='FILE', help='Draw latency against pixels and batch (png, svg, pdf).')
    ] = None,
    mapping: Annotated[
        bool,
        typer.Option(
            '--mapping', help='Measure the fusion of a map instead of a model; the only other option is --json.'
        ),
    ] = False,
) -> None:
    """Measure how fast a model is on this machine, compared with plain eager PyTorch.

    Measures every backend, device and precision that the options allow, from the bytes of an image to finished maps.
    The baseline is the same network in eager PyTorch, fp32, forward pass only; both take turns, so that other work on
    the machine slows both alike. Backends that are unavailable here are listed with the reason. Ctrl-C ends it
    with what has been measured until then.

    Example: mtperception benchmark --backend openvino --backend onnxruntime --device cpu --size 640x480 --size 320x240
    """
    if mapping:
        others = backend or device or precision or size or batch or iterations or image or plot
        others = others or model != DEFAULT_MODEL or seconds != SECONDS
        check_usage(
            (others, '--mapping', 'expected without other options than --json'),
        )
        _benchmark_mapping(json_file)
        return
    candidates = list_candidates(backend or (), device or (), precision or ())
    shapes = _shapes([parse_size(text, '--size') for text in size or (SIZE,)], batch or [1])
    photographs = [read_rgb(path) for path in image or ()]
    draw = _prepare_plot(plot) if plot else None
    if json_file:
        make_room_for_json(json_file)
    if plot:
        check_apart(plot, map(str, image or ()), '--plot')
        make_room_for(plot, '--plot')
    with progress('measuring', len(candidates) * len(shapes)) as move:
        done = run_benchmark(
            model,
            candidates,
            shapes,
            budget=Budget(seconds, iterations),
            photographs=photographs,
            on_step=move,
        )
    with printed_in_any_case(lambda: _print(done)):
        if json_file and (done.results or not done.interruption):
            write_json(json_file, as_json(done), '--json')
    if done.results and draw:
        with naming_option('--plot'), atomic_file(plot) as part:
            draw(done.results).savefig(part)
    if done.interruption:
        raise done.interruption
    if not done.results:
        raise RunError('nothing was measured: the reasons are above, for each combination')


def _benchmark_mapping(json_file: Path | None) -> None:
    """Fuse the rendered room, and say how long a view takes."""
    from mtperception.mapping.speed import VIEWS, mapping_speed  # needs Open3D

    if json_file:
        make_room_for_json(json_file)
    with progress('mapping', VIEWS) as move:
        speed = mapping_speed(on_step=move)
    if json_file:
        facts = {'mtperception': __version__, 'command': 'benchmark', 'hardware': describe_hardware()}
        write_json(json_file, {**facts, 'mapping': speed}, '--json')
    typer.echo(
        f'{speed["views"]} views of the rendered room, {speed["width"]}x{speed["height"]}, voxels of '
        f'{speed["voxel_size"]:g} m, {speed["classes"]} classes: {speed["median_ms"]:.1f} ms median, '
        f'{speed["p90_ms"]:.1f} ms p90, {speed["cpu_ms"]:.1f} ms of processor time; {speed["memory_mb"]:.1f} MB'
    )
    typer.echo(describe_hardware())


def _shapes(sizes: Sequence[tuple[int, int]], batches: Sequence[int]) -> list[Shape]:
    """Every size at the first batch, then the first size at the other batches: how cost grows with either."""
    return [Shape(*size, batches[0]) for size in sizes] + [Shape(*sizes[0], batch) for batch in batches[1:]]


def as_json(done: Benchmark) -> dict[str, Any]:
    """What `--json` writes."""
    first = next(iter(done.results), None)
    return {
        'mtperception': __version__,
        'command': 'benchmark',
        'model': done.model,
        'hardware': done.hardware,
        'versions': dict(done.versions),
        'images': done.images,
        'baseline': {'median_ms': first.baseline.median_ms, 'what': BASELINE} if first and first.baseline else None,
        'results': [_row(result) for result in done.results],
        'complete': done.interruption is None,
        'unavailable': [{**vars(missing.candidate), 'reason': missing.reason} for missing in done.unavailable],
    }


def _row(result: Result) -> dict[str, Any]:
    return {
        **vars(result.candidate),
        **vars(result.shape),
        'median_ms': result.whole.median_ms,
        'p90_ms': result.whole.p90_ms,
        'p99_ms': result.whole.p99_ms,
        'image_ms': result.whole.median_ms / result.shape.batch,
        'forward_ms': result.forward.median_ms if result.forward else None,
        'baseline_ms': result.baseline.median_ms if result.baseline else None,
        'ratio': result.ratio,
        'runs': result.whole.runs,
        'images_per_second': result.images_per_second,
        'prepare_s': result.prepare_s,
        'memory_mib': result.memory_mib,
        'label_agreement': 1 - result.differences['labels'] if 'labels' in result.differences else None,
        'depth_difference': result.differences.get('depth'),
        'differences': dict(result.differences),
    }


_TIMES: _Columns = (
    ('median_ms', 'median', '.2f'),
    ('p90_ms', 'p90', '.2f'),
    ('p99_ms', 'p99', '.2f'),
    ('image_ms', 'per image', '.2f'),
    ('forward_ms', 'forward', '.2f'),
    ('baseline_ms', 'baseline', '.1f'),
    ('ratio', 'ratio', '.2f'),
)
_COSTS: _Columns = (
    ('images_per_second', 'images/s', '.1f'),
    ('memory_mib', 'MiB', '.0f'),
    ('prepare_s', 'prepare s', '.2f'),
)
_DIFFERENCES = {
    CLASSES: ('{}\nequal', lambda difference: f'{1 - difference:.2%}'),
    SHARES: ('{}\nerror', '{:.1f} of 255'.format),
    METRES: ('{}\nerror', '{:.2%}'.format),
    DIRECTIONS: ('{}\nerror', '{:.2f}°'.format),
}
"""By kind of an output: heading, and how the difference of its maps is written."""


def _print(done: Benchmark) -> None:
    console = table_console()
    if done.results:
        console.print(_table(done, 'milliseconds, image in to all maps out', _TIMES))
        console.print(_table(done, 'speed and memory', _COSTS))
        if done.results[0].differences:
            console.print(_difference_table(done))
    for missing in done.unavailable:
        console.print(f'{missing.candidate}: not measured: {missing.reason}', markup=False, highlight=False)
    versions = ', '.join(f'{name} {version}' for name, version in done.versions.items())
    console.print(f'{done.hardware}; {versions}; {done.images}', markup=False, highlight=False)
    if any(result.baseline for result in done.results):
        console.print(f'baseline: {BASELINE}', highlight=False)
    elif done.results:
        console.print('no baseline and no check of the maps: they need PyTorch (mtperception[torch])', markup=False)


def _table(done: Benchmark, title: str, columns: _Columns) -> Table:
    rows = ([_cell(_row(result)[key], form) for key, _, form in columns] for result in done.results)
    return _by_result(done, title, [heading for _, heading, _ in columns], rows)


def _cell(value: float | None, form: str) -> str:
    return '-' if value is None else format(value, form)


def _difference_table(done: Benchmark) -> Table:
    """How far each output is from that of PyTorch."""
    outputs = {name: _DIFFERENCES[graph_output(name).kind] for name in done.results[0].differences}
    headings = [heading.format(name) for name, (heading, _) in outputs.items()]
    rows = ([write(result.differences[name]) for name, (_, write) in outputs.items()] for result in done.results)
    return _by_result(done, 'agreement with PyTorch in fp32, median errors of the worst image', headings, rows)


def _by_result(done: Benchmark, title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(title=f'{done.model}: {title}', box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for heading in ('backend', 'size'):
        table.add_column(heading, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify='right', no_wrap=True)
    for result, cells in zip(done.results, rows, strict=True):
        table.add_row(' '.join(vars(result.candidate).values()), str(result.shape), *cells)
    return table


def _prepare_plot(plot: Path) -> Callable[[Sequence[Result]], Any]:
    """The function that draws. What it lacks is said before the measurements, not after."""
    if plot.suffix.lower() not in PLOTS:
        raise InputError(f'--plot {plot}: expected a name that ends in {", ".join(PLOTS[:-1])} or {PLOTS[-1]}')
    with needs('--plot', 'matplotlib', 'train'):
        from mtperception.benchmark.plots import plot_cost
    return plot_cost

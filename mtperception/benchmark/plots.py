# SPDX-License-Identifier: Apache-2.0
"""How cost grows, drawn without a screen. Needs matplotlib."""

from collections import defaultdict
from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtperception.benchmark.benchmark import Result, Shape


def plot_cost(results: Sequence[Result]) -> Figure:
    """Median latency against the pixels of an image (of the smallest batch) and against the batch (of the first size).

    A line for each way to run the model, and dashed ones for the baseline on each device.
    """
    batch = min(result.shape.batch for result in results)
    size = (results[0].shape.width, results[0].shape.height)
    figure = Figure(figsize=(11, 4.5), layout='constrained')
    by_pixels, by_batch = figure.subplots(1, 2)
    _plot(by_pixels, [r for r in results if r.shape.batch == batch], lambda s: s.width * s.height / 1e6)
    by_pixels.set(xlabel='megapixels', ylabel='ms', title=f'one run of {batch} image{"s" if batch > 1 else ""}')
    _plot(by_batch, [r for r in results if (r.shape.width, r.shape.height) == size], lambda s: s.batch)
    by_batch.set(xlabel='images in a batch', ylabel='ms', title=f'{size[0]}x{size[1]}')
    by_pixels.legend(fontsize=8)
    return figure


def _plot(axes: Axes, results: Sequence[Result], position: Callable[[Shape], float]) -> None:
    lines: dict[tuple[str, str], dict[float, float]] = defaultdict(dict)
    for result in results:
        x = position(result.shape)
        lines[str(result.candidate), 'o-'][x] = result.whole.median_ms
        if result.baseline:
            name = f'baseline on {result.candidate.baseline_device}, forward only'
            lines[name, 's--'].setdefault(x, result.baseline.median_ms)
    for (name, style), points in sorted(lines.items()):
        axes.plot(*zip(*sorted(points.items()), strict=True), style, label=name)
    axes.set_yscale('log')
    axes.grid(alpha=0.3, which='both')

# SPDX-License-Identifier: Apache-2.0
"""How papers measure, where that differs from what `evaluate` does by itself: a table, and what follows from it.

A paper's figures are the metrics of `metrics.py` under its own names, over other classes, at another size, of images
that were cut, or averaged in another way. What it shares with `metrics.py` needs no entry.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass

from mtperception.errors import InputError
from mtperception.evaluation.scores import ImageScore
from mtperception.input_policy import InputPolicy, Size
from mtperception.predictor import BackendPredictor
from mtperception.tasks import TASKS, in_order
from mtperception.types import Prediction, Sample


@dataclass(frozen=True)
class Figure:
    """A number of a paper's tables."""

    metric: str
    """One of those of `tasks.TASKS`."""
    batch: int | None = None
    """None: over the set, as the metric is defined. Else the set is taken so many images at a time, in its order; the
    metric is that of their pixels, and the figure is the mean over the batches. More than one image: only for means of
    pixels."""
    factor: float = 1.0
    """From the unit of the metric to that of the paper."""


@dataclass(frozen=True)
class PaperProtocol:
    """How a paper measures."""

    source: str
    """The paper, for whoever reads the figures."""
    figures: Mapping[str, Figure]
    """By the paper's names, in the order of its tables."""
    label_space: str = ''
    """The classes that labels are compared in; empty: those of the data set."""
    size: Size | None = None
    """Width and height that images, labels and depth are brought to before anything else; None: as they are."""
    grid: Size | None = None
    """Columns and rows that each image is cut into; the model sees one part at a time, whatever its input policy, and
    the maps are put together. None: the model sees images by its own policy."""

    @property
    def description(self) -> dict[str, str]:
        """In words, for whoever reads the figures."""
        classes = {'classes_compared': self.label_space} if self.label_space else {}
        width, height = self.size or (0, 0)
        resized = f'to {width}x{height}: images linearly (below half by area), labels and depth by nearest pixel'
        cut = f'tiles: each image cut into {self.grid[0]} x {self.grid[1]}' if self.grid else ''
        rest = {'resized': resized} if self.size else {}
        return {'paper': self.source, **classes, **rest, **({'input': cut} if cut else {})}

    @property
    def tasks(self) -> tuple[str, ...]:
        """What it measures, in the order of the table of tasks."""
        metrics = {figure.metric for figure in self.figures.values()}
        return tuple(task.name for task in in_order(TASKS) if metrics & set(task.metrics))


MTAN = PaperProtocol(
    source='MTAN: S. Liu, E. Johns, A. J. Davison, CVPR 2019, and its published code; at the size of MT-UNet',
    label_space='nyuv2_13',
    size=(256, 128),
    figures={
        'mIoU': Figure('miou'),
        'Pix Acc': Figure('pixel_accuracy'),
        'mIoU by image': Figure('miou', batch=1),
        'Pix Acc by image': Figure('pixel_accuracy', batch=1),
        'Abs Err': Figure('abs_err', batch=2),
        'Rel Err': Figure('abs_rel', batch=2),
    },
)
"""The code takes two images at a time: depth errors are means over batches. Its labels were averaged image by image for
the paper's tables, and over the set since November 2020: here are both. Its own NYUv2 files are 384x288; MT-UNet says
that it follows MTAN, at 256x128."""

HYBRIDNET = PaperProtocol(
    source='HybridNet: D. Sánchez-Escobedo et al., section 5 and tables 1 and 2',
    grid=(6, 3),
    figures={
        'G': Figure('pixel_accuracy'),
        'C': Figure('mean_accuracy'),
        'IoU class': Figure('miou'),
        'γ < 1.25': Figure('delta1'),
        'γ < 1.25²': Figure('delta2'),
        'γ < 1.25³': Figure('delta3'),
        'ARD': Figure('abs_rel'),
        'SRD': Figure('sq_rel'),
        'RMSE-linear': Figure('rmse'),
        'RMSE-log': Figure('rmse_log'),
        'SIE': Figure('silog', factor=0.01),
    },
)
"""18 parts of an image, which the paper does not draw: 6 x 3 are square on Cityscapes' 2048x1024. SIE is the root of
Eigen et al.'s scale-invariant error: 0.26 squared is less than RMSE-log's 0.4343 squared, as a variance must be, and
0.26 is not. It is taken per image, as Eigen et al. define it."""

MULTITASKNET = PaperProtocol(
    source='MultitaskNet, section 4.1 and table 2',
    size=(224, 224),
    figures={'mIoU': Figure('miou'), 'RMSE(lin)': Figure('rmse'), 'RMSE (log)': Figure('rmse_log')},
)
"""Image, labels and depth are stretched to what the network sees. The published code measures depth in grey levels of
in-painted images, and by its logarithmic error means |log10| of the last image; here depth is in metres, and the
logarithmic error the usual one, over the set."""

PROTOCOLS: dict[str, PaperProtocol] = {'mtan': MTAN, 'hybridnet': HYBRIDNET, 'multitasknet': MULTITASKNET}
"""By name."""


def find_protocol(name: str) -> PaperProtocol | None:
    """The protocol of a name; None for none.

    Raises:
        InputError: for a name that is not in the table.
    """
    if not name:
        return None
    if name not in PROTOCOLS:
        raise InputError(f'unknown protocol {name!r}: expected one of {", ".join(PROTOCOLS)}')
    return PROTOCOLS[name]


def tasks_to_measure(name: str, tasks: Sequence[str]) -> list[str]:
    """Those of a model's tasks that the protocol of a name measures; without a protocol, all.

    Raises:
        InputError: if there are none.
    """
    protocol = find_protocol(name)
    measured = [task for task in tasks if protocol is None or task in protocol.tasks]
    if not measured:
        raise InputError(
            f'protocol {name} measures {", ".join(protocol.tasks)}: expected a model that gives one of them, found '
            f'one of {", ".join(tasks)}'
        )
    return measured


def predict(protocol: PaperProtocol | None, predictor: BackendPredictor, sample: Sample) -> Prediction:
    """What a model says of a sample, cut as the protocol wants.

    Raises:
        InputError: if an image is too small to be cut into so many parts.
    """
    if protocol and protocol.grid:
        predictor = copy(predictor)  # the same backend; the caller's policy stays
        predictor.input_policy = tiles_of(protocol.grid, sample.image.shape[1], sample.image.shape[0])
    return predictor(sample.image, sample.intrinsics)


def tiles_of(grid: Size, width: int, height: int) -> InputPolicy:
    """The input policy that cuts an image of this size into so many columns and rows; they may overlap by some pixels.

    Raises:
        InputError: if the image is too small.
    """
    columns, rows = grid
    policy = InputPolicy('tiles', math.ceil(width / columns), math.ceil(height / rows))
    if policy.layout(width, height).count != columns * rows:
        raise InputError(f'image of {width}x{height}: expected one large enough for {columns} x {rows} parts')
    return policy


def compute_figures(
    protocol: PaperProtocol, summary: Mapping[str, float], images: Iterable[ImageScore]
) -> dict[str, float]:
    """The paper's figures, by its names; without those of tasks that were not compared.

    Args:
        protocol: of the paper.
        summary: metrics over the set, by name.
        images: the metrics of each image.
    """
    scores = list(images)
    return {
        name: figure.factor
        * (summary[figure.metric] if figure.batch is None else _mean_of_batches(scores, figure.metric, figure.batch))
        for name, figure in protocol.figures.items()
        if figure.metric in summary
    }


def _mean_of_batches(images: Iterable[ImageScore], metric: str, size: int) -> float:
    """Mean over batches of the metric over a batch; NaN over nothing. Images without the metric do not count."""
    batches: dict[int, list[tuple[float, int]]] = {}
    for image in images:
        value = image.metrics.get(metric, math.nan)
        if not math.isnan(value):
            batches.setdefault(image.index // size, []).append((value, image.depth_pixels if size > 1 else 1))
    means = [math.fsum(value * n for value, n in batch) / sum(n for _, n in batch) for batch in batches.values()]
    return math.fsum(means) / len(means) if means else math.nan

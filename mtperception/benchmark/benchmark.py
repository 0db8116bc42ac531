# SPDX-License-Identifier: Apache-2.0
"""The benchmark: each way to run a model, at each size, beside the baseline."""

import importlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from importlib import metadata
from itertools import cycle
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np

from mtperception.agreement import compare
from mtperception.backends import BACKENDS, Backend, BackendUnavailableError, PreparationError, open_backend
from mtperception.benchmark.candidates import Candidate
from mtperception.benchmark.preparation import measure_preparation
from mtperception.benchmark.timing import Budget, Latency, measure
from mtperception.card import ModelDirectory, open_model
from mtperception.errors import InputError, MTPerceptionError
from mtperception.hardware import describe_hardware
from mtperception.selftest import SelfTestError
from mtperception.synthetic import SyntheticRoom
from mtperception.types import GRAPH_SIZES, is_graph_size

RENDERED_IMAGES = 4
_PACKAGES = ('numpy', 'torch', 'onnxruntime', 'onnxruntime-gpu', 'openvino')


@dataclass(frozen=True)
class Shape:
    """What a graph is run on; ValueError if an image has no pixels, or more than a graph is run on."""

    width: int
    height: int
    batch: int = 1

    def __post_init__(self) -> None:
        """Check the size before minutes go by."""
        if not is_graph_size(self.width, self.height):
            raise InputError(f'size {self.width}x{self.height}: expected {GRAPH_SIZES}')

    def __str__(self) -> str:
        """As in `2 x 640x480`; without the 1 of a single image."""
        return f'{f"{self.batch} x " if self.batch > 1 else ""}{self.width}x{self.height}'


@dataclass(frozen=True)
class Result:
    """One way to run the model at one shape. What needs PyTorch is None without it."""

    candidate: Candidate
    shape: Shape
    whole: Latency
    """Bytes on the host in, maps on the host out."""
    forward: Latency | None
    """The network alone."""
    baseline: Latency | None
    """The same network in eager PyTorch, fp32, NCHW, forward only, on the same device, in turns with the others."""
    differences: Mapping[str, float]
    """From PyTorch in fp32, by output (`agreement.compare`); empty without PyTorch."""
    prepare_s: float | None
    """As `Preparation.seconds`."""
    memory_mib: float | None
    """As `Preparation.mebibytes`."""

    @property
    def ratio(self) -> float | None:
        """How many times faster than the baseline, by medians."""
        return self.baseline.median_ms / self.whole.median_ms if self.baseline else None

    @property
    def images_per_second(self) -> float:
        """Over all runs."""
        return self.shape.batch / self.whole.mean_ms * 1e3


@dataclass(frozen=True)
class Unavailable:
    """A way to run the model that is unavailable here, or fails at one shape."""

    candidate: Candidate
    reason: str


@dataclass(frozen=True)
class Benchmark:
    """All that was measured, and what it was measured on."""

    model: str
    results: tuple[Result, ...]
    unavailable: tuple[Unavailable, ...]
    images: str
    hardware: str
    versions: Mapping[str, str]
    interruption: KeyboardInterrupt | SystemExit | None
    """What ended the measurements before all were made."""


def benchmark(
    model: str | Path,
    candidates: Sequence[Candidate],
    shapes: Sequence[Shape],
    *,
    budget: Budget,
    photographs: Sequence[np.ndarray] = (),
    on_step: Callable[[int], None] = lambda done: None,
) -> Benchmark:
    """Measure each candidate at each shape. Ctrl-C ends it, with what has been measured until then.

    Args:
        model: a model directory, or the name of an installed one.
        candidates: ways to run it; what is unavailable is named with the reason.
        shapes: sizes and batches.
        budget: how long each candidate is measured at each shape.
        photographs: uint8 H,W,3 images of any size to run on, instead of those that the package renders.
        on_step: called with the number of measurements done, after each one; there are candidates x shapes.

    Raises:
        ResourceNotFoundError, ModelError: no such model, or one that is not complete.
    """
    directory = open_model(model)
    outcomes: list[Result | Unavailable] = []
    interruption: KeyboardInterrupt | SystemExit | None = None
    with ExitStack() as stack:
        bench = _Bench(directory, budget, photographs, stack)
        try:
            for index, candidate in enumerate(candidates):
                before, end = len(outcomes), (index + 1) * len(shapes)
                for step, outcome in enumerate(bench.outcomes(candidate, shapes), end - len(shapes) + 1):
                    outcomes.append(outcome)
                    on_step(step)
                if len(outcomes) < before + len(shapes):
                    on_step(end)
        except (KeyboardInterrupt, SystemExit) as error:
            interruption = error
    return Benchmark(
        model=directory.card.name,
        results=tuple(outcome for outcome in outcomes if isinstance(outcome, Result)),
        unavailable=tuple(outcome for outcome in outcomes if isinstance(outcome, Unavailable)),
        images=_describe(photographs),
        hardware=describe_hardware(),
        versions=_versions(),
        interruption=interruption,
    )


class _Bench:
    """What measurements share: images and expected maps by shape, and the graph of the network alone."""

    def __init__(
        self, model: ModelDirectory, budget: Budget, photographs: Sequence[np.ndarray], stack: ExitStack
    ) -> None:
        self._model = model
        self._budget = budget
        self._photographs = photographs
        self._stack = stack
        self._reference = _load_reference()
        self._expected: dict[Shape, list[Mapping[str, np.ndarray]]] = {}
        self._network_alone: ModelDirectory | None = None

    def outcomes(self, candidate: Candidate, shapes: Sequence[Shape]) -> Iterator[Result | Unavailable]:
        """One of each shape; where the candidate is unavailable, or fails the self-test, that alone."""
        try:
            open_backend(self._model, candidate.backend, candidate.device, candidate.precision).close()
        except (BackendUnavailableError, SelfTestError) as error:
            yield Unavailable(candidate, str(error))
            return
        for shape in shapes:
            try:
                yield self.measure(candidate, shape)
            except BackendUnavailableError as error:
                yield Unavailable(candidate, str(error))

    def measure(self, candidate: Candidate, shape: Shape) -> Result:
        """Measure one candidate at one shape.

        Raises:
            PreparationError: if a library fails at this shape, as when memory is short.
        """
        try:
            return self._measure(candidate, shape)
        except MTPerceptionError:
            raise
        except Exception as error:  # each library raises what it likes
            raise PreparationError(' '.join(f'{shape}: {type(error).__name__}: {error}'.split())) from error

    def _measure(self, candidate: Candidate, shape: Shape) -> Result:
        """With a backend that has seen no other shape."""
        batches = _batches(self._photographs, shape)
        preparation = measure_preparation(self._model.path, candidate, batches[0])
        functions: dict[str, Callable[[], object]] = {}
        with ExitStack() as stack:
            backend = stack.enter_context(
                closing(BACKENDS[candidate.backend](self._model, candidate.device, candidate.precision))
            )
            maps = [backend.run(batch) for batch in batches]
            if self._reference and self._reference.has_device(candidate.baseline_device):
                functions['baseline'] = self._reference.baseline(self._model, candidate.baseline_device, batches[0])
            turns = cycle(batches)
            functions['whole'] = lambda: backend.run(next(turns))
            if self._reference:
                functions['forward'] = self._forward(candidate, batches[0], stack)
            times = measure(functions, self._budget)
        return Result(
            candidate,
            shape,
            times['whole'],
            times.get('forward'),
            times.get('baseline'),
            self._differences(shape, batches, maps),
            preparation.seconds,
            preparation.mebibytes,
        )

    def _forward(self, candidate: Candidate, images: np.ndarray, stack: ExitStack) -> Callable[[], object]:
        """Runs the network alone, by the same library."""
        if candidate.backend == 'torch':
            return self._reference.forward(self._model, candidate.device, candidate.precision, images)
        if self._network_alone is None:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix='mtperception-')))
            self._network_alone = self._reference.network_alone(self._model, folder)
        opened: Backend = BACKENDS[candidate.backend](self._network_alone, candidate.device, candidate.precision)
        stack.enter_context(closing(opened))
        return lambda: opened.run(images)

    def _differences(
        self, shape: Shape, batches: Sequence[np.ndarray], maps: Sequence[Mapping[str, np.ndarray]]
    ) -> dict[str, float]:
        if not self._reference:
            return {}
        if shape not in self._expected:
            self._expected[shape] = [self._reference.reference_maps(self._model, batch) for batch in batches]
        found, expected = (
            {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
            for parts in (maps, self._expected[shape])
        )
        return compare(found, expected)


def _load_reference() -> ModuleType | None:
    """`mtperception.benchmark.reference`; None without PyTorch."""
    try:
        return importlib.import_module('mtperception.benchmark.reference')
    except (ImportError, BackendUnavailableError):
        return None


def _batches(photographs: Sequence[np.ndarray], shape: Shape) -> list[np.ndarray]:
    """Different images, so that no time is that of a single one: uint8 N,H,W,3 each."""
    if photographs:
        size = (shape.width, shape.height)
        images = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in photographs]
    else:
        room = SyntheticRoom(shape.width, shape.height)
        images = [room.frame(2.0 * i).image for i in range(RENDERED_IMAGES)]
    turns = [images[i:] + images[:i] for i in range(len(images))]
    return [np.stack([image for image, _ in zip(cycle(turn), range(shape.batch), strict=False)]) for turn in turns]


def _describe(photographs: Sequence[np.ndarray]) -> str:
    """What was run on."""
    if not photographs:
        return f'{RENDERED_IMAGES} rendered images'
    return f'{len(photographs)} photograph{"s" if len(photographs) > 1 else ""}'


def _versions() -> dict[str, str]:
    """Versions of the libraries that run the model, by package."""
    installed = {distribution.name for distribution in metadata.distributions()}
    return {package: metadata.version(package) for package in _PACKAGES if package in installed}

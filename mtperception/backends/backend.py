# SPDX-License-Identifier: Apache-2.0
"""What a backend is: shapes that are prepared and kept within a budget of memory, and a graph that runs on them."""

import threading
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mtperception.backends.memory import available_bytes, resident_bytes
from mtperception.errors import InputError, MTPerceptionError
from mtperception.types import GRAPH_SIZES, is_graph_size

Maps = dict[str, np.ndarray]
Latency = Mapping[str, float]
"""Milliseconds spent in `upload`, `inference` and `download`; a stage that a backend does not have is missing."""
Runner = Callable[[np.ndarray], tuple[Maps, Latency]]
Shape = tuple[int, int, int]
"""Batch, height and width."""
MAX_PREPARED_SHAPES = 4
"""Kept by default: a camera and a few more sizes."""
MEMORY_SHARE = 0.25
"""Default budget for prepared shapes, as a share of the memory that is available when a backend is opened."""
PRECISIONS = ('fp32', 'fp16', 'bf16')


class BackendUnavailableError(MTPerceptionError, RuntimeError):
    """A backend, device or precision that is unavailable here; the message says what to install or choose."""


class PreparationError(BackendUnavailableError):
    """A shape that a library fails to prepare for, as it does when memory is short."""


@dataclass(frozen=True)
class _Prepared:
    """A shape that can run at once."""

    run: Runner
    memory: int
    """Bytes by which memory grew for it."""


class Backend(ABC):
    """Runs the exported graph of one model on one device; specialises per shape.

    One thread may prepare a shape while another runs those that are prepared; on a GPU, between the steps of it.

    Attributes:
        name: its key in `BACKENDS`.
        device: 'cpu', 'cuda:N' or 'tensorrt:N'.
        precision: 'fp32', 'fp16' or 'bf16'.
        max_prepared: how many prepared shapes are kept at most.
        memory_budget: bytes that prepared shapes may take, apart from the newest, which always stays; None: no limit.
            Only memory that can be measured counts.
    """

    name: str

    def __init__(self, device: str, precision: str) -> None:
        self.device = device
        self.precision = precision
        self.max_prepared = MAX_PREPARED_SHAPES
        available = self._memory_available()
        self.memory_budget = None if available is None else int(available * MEMORY_SHARE)
        self._prepared: OrderedDict[Shape, _Prepared] = OrderedDict()
        self._table = threading.Lock()
        self._compilation = threading.Lock()
        self._is_closed = False

    @property
    def description(self) -> str:
        """What runs where and how, as in `torch on cpu, fp32`."""
        return f'{self.name} on {self.device}, {self.precision}'

    @abstractmethod
    def _compile(self, batch: int, height: int, width: int) -> Runner:
        """Compile, capture or build for one shape."""

    def prepare(self, batch: int, height: int, width: int) -> None:
        """Specialise for one shape, and note that it is in use.

        The shapes that were not used for the longest time are dropped beyond `max_prepared` and `memory_budget`, once
        the new one is ready.

        Raises:
            ValueError: for a shape without pixels, or of more than `MAX_PIXELS` or `MAX_IMAGE_SIDE`.
            PreparationError: if the library fails.
        """
        self._runner((batch, height, width))

    def is_prepared(self, batch: int, height: int, width: int) -> bool:
        """Whether `run` can start at once on this shape."""
        return (batch, height, width) in self._prepared

    @property
    def prepared_memory(self) -> int:
        """Bytes that the prepared shapes take."""
        with self._table:
            return self._taken

    def run(self, images: np.ndarray) -> Maps:
        """Run the graph; prepares on the first sight of a shape.

        Args:
            images: uint8 N,H,W,3, RGB.

        Returns:
            The graph's outputs by name (`pipeline.Pipeline.forward`), owned by the caller.

        Raises:
            ValueError: for an array of another kind, or too large.
            PreparationError: as for `prepare`.
        """
        maps, _ = self.run_timed(images)
        return maps

    def run_timed(self, images: np.ndarray) -> tuple[Maps, Latency]:
        """`run`, with the milliseconds of each stage."""
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise InputError(f'images {images.dtype} {images.shape}: expected uint8 (N, H, W, 3), RGB')
        return self._runner(images.shape[:3])(images)

    def close(self) -> None:
        """Release everything prepared, and the device memory with it; what is still being prepared is not kept."""
        with self._table:
            self._is_closed = True
            self._prepared.clear()

    def _runner(self, shape: Shape) -> Runner:
        """What runs this shape, which is the most recently used one from now on."""
        prepared = self._used(shape)
        if prepared is None:
            _check(shape)
            with self._compilation:  # one at a time: what each takes is measured by the growth of memory
                prepared = self._used(shape) or self._keep(shape, self._compiled(shape))
        return prepared.run

    def _used(self, shape: Shape) -> _Prepared | None:
        with self._table:
            prepared = self._prepared.get(shape)
            if prepared is not None:
                self._prepared.move_to_end(shape)
            return prepared

    def _keep(self, shape: Shape, prepared: _Prepared) -> _Prepared:
        with self._table:
            if not self._is_closed:
                self._prepared[shape] = prepared
            while len(self._prepared) > 1 and self._is_over_budget():
                self._prepared.popitem(last=False)
        return prepared

    @property
    def _taken(self) -> int:
        return sum(prepared.memory for prepared in self._prepared.values())

    def _is_over_budget(self) -> bool:
        too_much = self.memory_budget is not None and self._taken > self.memory_budget
        return too_much or len(self._prepared) > self.max_prepared

    def _compiled(self, shape: Shape) -> _Prepared:
        before = self._memory_in_use() or 0
        try:
            run = self._compile(*shape)
        except BackendUnavailableError:
            raise
        except Exception as error:  # each library raises what it likes
            batch, height, width = shape
            reason = ' '.join(f'{type(error).__name__}: {error}'.split())
            raise PreparationError(
                f'{self.name} on {self.device} cannot be prepared for {batch} x {width}x{height}: {reason} '
                '(if memory is short: a smaller size needs less)'
            ) from error
        return _Prepared(run, max(0, (self._memory_in_use() or 0) - before))

    def _memory_in_use(self) -> int | None:
        """Bytes in use where prepared shapes are kept; None: unknown."""
        return resident_bytes() if self.device == 'cpu' else None

    def _memory_available(self) -> int | None:
        """Bytes that can still be taken there; None: unknown."""
        return available_bytes() if self.device == 'cpu' else None


def _check(shape: Shape) -> None:
    batch, height, width = shape
    if batch < 1 or not is_graph_size(width, height):
        raise InputError(f'image of {width}x{height}, batch {batch}: expected a batch of 1 or more, and {GRAPH_SIZES}')

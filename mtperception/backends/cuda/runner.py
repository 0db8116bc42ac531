# SPDX-License-Identifier: Apache-2.0
"""Run a pipeline on a CUDA device for one shape of images: one upload, one CUDA graph, one download, one wait."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from mtperception.backends.backend import Latency, Maps
from mtperception.backends.cuda.layout import MapLayout
from mtperception.pipeline import Pipeline

WARM_UP_RUNS = 3
"""Before a capture, in which nothing may be compiled, measured or allocated by libraries; as PyTorch's own examples."""

_log = logging.getLogger(__name__)

# Flags of cuDNN and captures are of the whole process: a node opens a backend while an earlier one still prepares.
_process = threading.RLock()


@contextmanager
def full_precision() -> Iterator[None]:
    """cuDNN on, the fastest algorithm found by trial for each shape, fp32 is not TF32; for one thread at a time."""
    with _process, torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False):
        yield


def release_memory() -> None:
    """Give back the device memory that PyTorch keeps for later use; a capture does so too, before it starts."""
    try:
        torch.cuda.empty_cache()
    except RuntimeError as error:
        # After a capture that failed, PyTorch before 2.13 takes it to be still under way
        # (https://github.com/pytorch/pytorch/pull/180395). The memory stays with this process, to be used again.
        _log.warning('device memory was not released: %s', str(error).partition('\n')[0])


class StaticFrame:
    """A pipeline between two fixed buffers, on any device: what a CUDA graph replays.

    Attributes:
        image: uint8 N,H,W,3, on the device.
        layout: where the maps are in `maps`.
        maps: uint8, flat, on the device: all maps.
    """

    def __init__(self, pipeline: Pipeline, shape: tuple[int, int, int], device: torch.device) -> None:
        self._pipeline = pipeline
        self.image = torch.zeros((*shape, 3), dtype=torch.uint8, device=device)
        with full_precision():
            self.layout = MapLayout.of(pipeline(self.image))
        self.maps = torch.empty(self.layout.size, dtype=torch.uint8, device=device)
        self._views = self.layout.views(self.maps)

    def compute(self) -> None:
        """From `image` to `maps`. On a CUDA device it only queues the work."""
        with full_precision():
            for name, map_ in self._pipeline(self.image).items():
                self._views[name].copy_(map_)


class CudaQueue:
    """The stream on which a backend does everything, for one thread at a time: a capture would record what others do.

    Args:
        device: a CUDA device; what has been queued on its current stream so far (weights) is waited for.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device)
        self.stream.wait_stream(torch.cuda.current_stream(device))
        # Not the stream of the work: on that one PyTorch records an event when a caller drops its arrays, in whatever
        # thread, to know when their memory is free again. CUDA gives no answer for an event that fell into a capture.
        self._capture_stream = torch.cuda.Stream(device)
        self._lock = threading.Lock()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Until the end of this context, this thread's work goes to the stream and no other thread's does."""
        with self._lock, torch.cuda.stream(self.stream), torch.inference_mode():
            yield

    def capture(self, step: Callable[[], None]) -> Callable[[], object]:
        """Turn work into a CUDA graph. Others may do theirs between its steps.

        Args:
            step: queues the same work, on the same memory, at each call.

        Returns:
            What queues the graph; `step` itself, after a warning, if that work cannot be captured.
        """
        for _ in range(WARM_UP_RUNS):
            with self.exclusive():
                step()
                self.stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            # What other threads do on other streams, such as allocating, is none of this capture's business.
            with (
                self.exclusive(),
                _process,
                torch.cuda.graph(graph, stream=self._capture_stream, capture_error_mode='thread_local'),
            ):
                step()
        except RuntimeError as error:
            # The end of a capture that has failed is an error of its own, which says less than the first one.
            reason = str(error.__context__ or error).partition('\n')[0]
            _log.warning('running without a CUDA graph on %s, which is slower: %s', self.device, reason)
            return step
        return graph.replay


class CudaRunner:
    """A pipeline, specialised for one shape.

    Args:
        pipeline: on the queue's device.
        shape: batch, height and width of the images.
        queue: where the work is done.
    """

    def __init__(self, pipeline: Pipeline, shape: tuple[int, int, int], queue: CudaQueue) -> None:
        self._queue = queue
        with queue.exclusive():
            self._frame = StaticFrame(pipeline, shape, queue.device)
            self._staging = torch.empty((*shape, 3), dtype=torch.uint8, pin_memory=True)
            self._marks = [torch.cuda.Event(enable_timing=True) for _ in range(4)]
        self._launch = queue.capture(self._frame.compute)
        # The first run allocates pinned memory and moves the graph to the device: not in a timed frame.
        self(np.zeros((*shape, 3), np.uint8))

    def __call__(self, images: np.ndarray) -> tuple[Maps, Latency]:
        """Run on uint8 N,H,W,3.

        Returns:
            The maps by name and milliseconds by stage. The maps are pinned memory that belongs to the caller alone;
            PyTorch gives it to a later run when the last array is gone.
        """
        start, uploaded, computed, downloaded = self._marks
        with self._queue.exclusive():
            begin = time.perf_counter()
            np.copyto(self._staging.numpy(), images)
            staging_ms = (time.perf_counter() - begin) * 1e3
            host = torch.empty(self._frame.layout.size, dtype=torch.uint8, pin_memory=True)
            start.record()
            self._frame.image.copy_(self._staging, non_blocking=True)
            uploaded.record()
            self._launch()
            computed.record()
            host.copy_(self._frame.maps, non_blocking=True)
            downloaded.record()
            self._queue.stream.synchronize()
            # The next run, of whatever thread, sets the marks anew.
            latency_ms = {
                'upload': staging_ms + start.elapsed_time(uploaded),
                'inference': uploaded.elapsed_time(computed),
                'download': computed.elapsed_time(downloaded),
            }
        return {name: view.numpy() for name, view in self._frame.layout.views(host).items()}, latency_ms

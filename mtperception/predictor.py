# SPDX-License-Identifier: Apache-2.0
"""From images to Predictions: a model, a backend, and what only run time knows (image size and camera)."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from mtperception.backends import Backend, open_backend
from mtperception.backends.backend import MAX_PREPARED_SHAPES, Maps
from mtperception.card import ModelCard, open_model
from mtperception.errors import InputError
from mtperception.geometry import tilt_normals, unit_vectors
from mtperception.input_policy import Layout, depth_ratio, focal_ratios
from mtperception.labels import DEFAULT_INVALID_DEPTH_CLASSES, LabelSpace, invalid_depth_table
from mtperception.resized_prediction import ResizedPrediction
from mtperception.tasks import DIRECTIONS, METRES, NO_ZOOM, graph_outputs
from mtperception.types import DEPTH_SCALE_MODES, OUTPUT_SIZES, Intrinsics, Prediction

_ROUNDING = {'fp32': 2**-20, 'fp16': 2**-11, 'bf16': 2**-8}
"""By precision, how far a clamp may be off the end of the depth range, as a part of it."""


class BackendPredictor:
    """A backend with what it needs to answer images of any size and camera. Call it with an image.

    Args:
        card: of the model that the backend runs.
        label_space: of the labels it gives.
        backend: runs the model's graph.
        network_size: width and height for the card's input policy, which reduces larger images to it, stretches images
            to it, or cuts them into tiles of it; (0, 0) is the size that the card gives.
        output_size: 'input': maps come back at the size of the image; 'network': at the size that the network saw.
        depth_scale: factor on the depth, for a camera or a model with a known bias.
        depth_scale_mode: 'focal': depth is scaled by the ratio of the camera's focal length to the training camera's;
            'none': it is not.
        invalid_depth_classes: classes of the model's own label space whose depth is no measurement, whatever grouping
            is shown; by default sky, where the label space has it.
        max_batch: how many images may come together, as they do from so many cameras.
        memory_budget: bytes that the prepared sizes may take; None: a quarter of what is available.

    Raises:
        ValueError: an argument is not one of those above.
    """

    def __init__(
        self,
        card: ModelCard,
        label_space: LabelSpace,
        backend: Backend,
        *,
        network_size: tuple[int, int] = (0, 0),
        output_size: str = 'input',
        depth_scale: float = 1.0,
        depth_scale_mode: str = 'focal',
        invalid_depth_classes: Sequence[str] = DEFAULT_INVALID_DEPTH_CLASSES,
        max_batch: int = 1,
        memory_budget: int | None = None,
    ) -> None:
        _check(network_size, output_size, depth_scale_mode)
        if not 0 < depth_scale < math.inf:
            raise InputError(f'depth_scale {depth_scale}: expected a finite number of more than 0')
        self.card = card
        self.label_space = label_space
        self.backend = backend
        self.network_size = network_size if all(network_size) else card.input.size
        self.invalid_depth_classes = invalid_depth_classes
        self.output_size = output_size
        self.depth_scale = depth_scale
        self.depth_scale_mode = depth_scale_mode
        # On a CPU a batch takes as long as its images one by one (measured with each backend), and the first one waits.
        self.max_batch = 1 if backend.device == 'cpu' else max_batch
        # Cameras of different sizes take turns: with one size fewer, each would be prepared anew for each image.
        backend.max_prepared = max(MAX_PREPARED_SHAPES, max_batch) * (2 if self.max_batch > 1 else 1)
        if memory_budget is not None:
            backend.memory_budget = memory_budget

    @property
    def description(self) -> str:
        """One line: the model and what runs it."""
        return f'{self.card.name} by {self.backend.description}'

    @property
    def network_size(self) -> tuple[int, int]:
        """Width and height of the input policy."""
        return self.input_policy.size

    @network_size.setter
    def network_size(self, size: tuple[int, int]) -> None:
        self.input_policy = replace(self.card.input, width=size[0], height=size[1])

    @property
    def invalid_depth_classes(self) -> tuple[str, ...]:
        """Classes whose depth is no measurement."""
        return self._invalid_depth_classes

    @invalid_depth_classes.setter
    def invalid_depth_classes(self, names: Sequence[str]) -> None:
        self._has_depth = invalid_depth_table(self.label_space, names) == 0
        self._invalid_depth_classes = tuple(names)

    def working_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of what the network sees at once of an image of this size."""
        return self.input_policy.layout(width, height).tile

    def is_prepared(self, width: int, height: int, batch: int = 1) -> bool:
        """Whether so many images of this size are answered at once, or wait for a preparation first."""
        width, height = self.working_size(width, height)
        return self.backend.is_prepared(batch, height, width)

    def prepare(self, width: int, height: int, batch: int = 1) -> None:
        """Specialise the backend for so many images of this size at a time.

        Raises:
            PreparationError: if it fails, as it does when memory is short.
        """
        width, height = self.working_size(width, height)
        self.backend.prepare(batch, height, width)

    def batches(self, sizes: Sequence[tuple[int, int]]) -> list[list[int]]:
        """Which of several images run together: those that the network sees at the same size, as far as it is prepared.

        Args:
            sizes: width and height of each image.

        Returns:
            Indices into `sizes`, each once, in order within a batch.
        """
        alike: dict[tuple[int, int], list[int]] = {}
        for index, size in enumerate(sizes):
            alike.setdefault(self.working_size(*size), []).append(index)
        return [batch for size, indices in alike.items() for batch in self._split(indices, size)]

    def _split(self, indices: list[int], size: tuple[int, int]) -> list[list[int]]:
        """As few batches as possible of prepared sizes; one by one where none is."""
        batches = []
        while indices:
            largest = min(len(indices), self.max_batch)
            count = next((count for count in range(largest, 1, -1) if self.is_prepared(*size, count)), 1)
            batches.append(indices[:count])
            indices = indices[count:]
        return batches

    def __call__(self, image: np.ndarray, intrinsics: Intrinsics | None = None) -> Prediction:
        """Predict for one image.

        Args:
            image: uint8 H,W,3, RGB.
            intrinsics: the camera, for images of exactly this size; without it depth is not scaled to the camera.

        Returns:
            Maps at the size of the image (or of the network's input: `output_size`); each is resized once it is read.

        Raises:
            ValueError: for an array of another kind or an image that is too large.
        """
        (prediction,) = self.predict([image], [intrinsics])
        return prediction

    def predict(self, images: Sequence[np.ndarray], intrinsics: Sequence[Intrinsics | None]) -> list[Prediction]:
        """Predict for images that the network sees at the same size, in one run: a batch of `batches`.

        Args:
            images: uint8 H,W,3 each, RGB.
            intrinsics: of the camera of each image, or None: as for a single one.

        Returns:
            One for each image, as for a single one; `latency_ms` is that of the whole batch.

        Raises:
            ValueError: for an array of another kind, an image that is too large, or images of different working sizes.
        """
        for image in images:
            _check_image(image)
        layouts = [self.input_policy.layout(image.shape[1], image.shape[0]) for image in images]
        start = time.perf_counter()
        tiles = _tiles(images, layouts)
        resized = time.perf_counter()
        maps, latency_ms = self._run(tiles, len(images))
        done = time.perf_counter()
        ends = np.cumsum([layout.count for layout in layouts])
        found = [
            self._finished({name: stack[end - layout.count : end] for name, stack in maps.items()}, layout, camera)
            for end, layout, camera in zip(ends, layouts, intrinsics, strict=True)
        ]
        resize = (resized - start) + (time.perf_counter() - done)
        latency_ms = {'resize': resize * 1e3, **latency_ms}
        return [self._prediction(finished, layout, latency_ms) for finished, layout in zip(found, layouts, strict=True)]

    def _run(self, tiles: np.ndarray, images: int) -> tuple[Maps, Mapping[str, float]]:
        """The graph's maps of uint8 N,h,w,3 and the milliseconds of each stage: images together, tiles as prepared."""
        if len(tiles) == images:
            return self.backend.run_timed(tiles)
        parts, latency_ms = [], {}
        for batch in self._split(list(range(len(tiles))), (tiles.shape[2], tiles.shape[1])):
            maps, times = self.backend.run_timed(tiles[batch[0] : batch[-1] + 1])
            parts.append(maps)
            for stage, spent in times.items():
                latency_ms[stage] = latency_ms.get(stage, 0.0) + spent
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, latency_ms

    def _finished(self, tiles: Maps, layout: Layout, intrinsics: Intrinsics | None) -> Maps:
        """The maps of one image to the camera's scale, still at the network's size, and which depth is valid."""
        maps = {name: layout.joined(stack) for name, stack in tiles.items()}
        x, y = self._focal_ratios(layout, intrinsics)
        valid = self._valid(maps['depth'], maps.get('labels')) if 'depth' in maps else None  # by the graph's own depth
        for output in graph_outputs(self.card.tasks):
            if output.kind == METRES:
                maps[output.name] *= np.float32(self.depth_scale * depth_ratio(x, y))
            elif output.kind == DIRECTIONS and (x, y) != NO_ZOOM:
                maps[output.name] = unit_vectors(tilt_normals(maps[output.name], x, y))
        return maps if valid is None else {**maps, 'valid_mask': valid}

    def _prediction(self, maps: Maps, layout: Layout, latency_ms: Mapping[str, float]) -> Prediction:
        """The maps at the size that is wanted."""
        if self.output_size == 'input' and layout.plane != layout.image:
            return ResizedPrediction.to_size(maps, layout.image, latency_ms)
        return Prediction.of(maps, latency_ms)

    def _valid(self, depth: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """bool h,w: where the graph's depth is inside the card's range and the class may have depth.

        At an end of the range the graph has clamped: what is there is nearer or farther, by an unknown amount.
        """
        rounding = _ROUNDING[self.backend.precision]
        near, far = self.card.depth_range
        lowest = np.nextafter(np.float32(near * (1 + rounding)), np.float32(np.inf))
        highest = np.nextafter(np.float32(far * (1 - rounding)), np.float32(0))
        valid = (depth >= lowest) & (depth <= highest)  # half the time of OpenCV's inRange
        if labels is not None and not self._has_depth.all():
            valid &= cv2.LUT(labels, self._has_depth.view(np.uint8)).view(bool)
        return valid

    def warm_up(self, iterations: int) -> None:
        """Run this often on a black image of the size that the network is made for, after preparing for it."""
        width, height = self.network_size
        if iterations:
            self.prepare(width, height)
        for _ in range(iterations):
            self(np.zeros((height, width, 3), np.uint8))

    def close(self) -> None:
        """Release the backend and its memory."""
        self.backend.close()

    def _focal_ratios(self, layout: Layout, intrinsics: Intrinsics | None) -> tuple[float, float]:
        if intrinsics is None or self.depth_scale_mode == 'none':
            return 1.0, 1.0
        found = (intrinsics.width, intrinsics.height)
        if found != layout.image or not math.isfinite(intrinsics.fx + intrinsics.fy):
            raise InputError(
                f'camera of {found[0]}x{found[1]}, fx {intrinsics.fx:g}, fy {intrinsics.fy:g}, for an image of '
                f'{layout.image[0]}x{layout.image[1]}: expected finite numbers for this size (Intrinsics.for_image)'
            )
        return focal_ratios(intrinsics, layout, self.card.camera, self.card.input)


class Predictor(BackendPredictor):
    """A model directory and the backend that runs it. Call it with an image.

    Args:
        model: a model directory, or the name of an installed one.
        backend: 'auto', 'torch', 'onnxruntime' or 'openvino'.
        device: 'auto', 'cpu' or 'cuda:N'; 'tensorrt:N' with onnxruntime.
        precision: 'auto', 'fp32', 'fp16' or 'bf16'.
        network_size, output_size, depth_scale, depth_scale_mode, invalid_depth_classes, max_batch,
            memory_budget: as for `BackendPredictor`.

    Raises:
        ResourceNotFoundError, ModelError: no such model, or one that is not complete.
        BackendUnavailableError: what is asked for is unavailable; the message says what to install.
        SelfTestError: the backend does not reproduce the model's outputs.
        ValueError: an argument is not one of those above.
    """

    def __init__(
        self,
        model: str | Path,
        backend: str = 'auto',
        device: str = 'auto',
        precision: str = 'auto',
        *,
        network_size: tuple[int, int] = (0, 0),
        output_size: str = 'input',
        depth_scale: float = 1.0,
        depth_scale_mode: str = 'focal',
        invalid_depth_classes: Sequence[str] = DEFAULT_INVALID_DEPTH_CLASSES,
        max_batch: int = 1,
        memory_budget: int | None = None,
    ) -> None:
        _check(network_size, output_size, depth_scale_mode)  # before the seconds that opening a backend takes
        self.model = open_model(model)
        invalid_depth_table(self.model.label_space, invalid_depth_classes)
        super().__init__(
            self.model.card,
            self.model.label_space,
            open_backend(self.model, backend, device, precision),
            network_size=network_size,
            output_size=output_size,
            depth_scale=depth_scale,
            depth_scale_mode=depth_scale_mode,
            invalid_depth_classes=invalid_depth_classes,
            max_batch=max_batch,
            memory_budget=memory_budget,
        )


def predict_all(predictor: BackendPredictor, image: np.ndarray) -> Prediction:
    """A prediction of which every map has been made; else some are when they are first read. For measuring time."""
    prediction = predictor(image)
    for output in graph_outputs(predictor.card.tasks):
        prediction.map(output.name)
    return prediction


def _tiles(images: Sequence[np.ndarray], layouts: Sequence[Layout]) -> np.ndarray:
    """uint8 N,h,w,3: what the network sees of all images; a single image that it sees as it is is not copied."""
    size, *others = {layout.tile for layout in layouts}
    if others:
        raise InputError(f'images that the network sees at {size} and {others[0]}: expected one size')
    if len(images) == 1 and layouts[0].is_the_image:
        return images[0][None]
    tiles = np.empty((sum(layout.count for layout in layouts), size[1], size[0], 3), np.uint8)
    first = 0
    for image, layout in zip(images, layouts, strict=True):
        layout.write_tiles(image, tiles[first : first + layout.count])
        first += layout.count
    return tiles


def _check_image(image: np.ndarray) -> None:
    if image.ndim != 3 or image.dtype != np.uint8 or image.shape[2] != 3 or not image.size:
        raise InputError(f'image {image.dtype} {image.shape}: expected uint8 (H, W, 3), RGB')


def _check(network_size: tuple[int, int], output_size: str, depth_scale_mode: str) -> None:
    if output_size not in OUTPUT_SIZES:
        raise InputError(f'output_size {output_size!r}: expected one of {", ".join(OUTPUT_SIZES)}')
    if depth_scale_mode not in DEPTH_SCALE_MODES:
        raise InputError(f'depth_scale_mode {depth_scale_mode!r}: expected one of {", ".join(DEPTH_SCALE_MODES)}')
    if min(network_size) < 0 or any(network_size) != all(network_size):
        raise InputError(f'network_size {network_size}: expected a width and a height, or 0, 0')

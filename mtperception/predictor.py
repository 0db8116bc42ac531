"""From images to Predictions: a model, a backend, and what only run time knows (image size and camera)."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from mtperception.backends import Backend, PreparationError, open_backend
from mtperception.backends.backend import MAX_PREPARED_SHAPES, Maps
from mtperception.card import ModelCard, open_model
from mtperception.geometry import focal_scale
from mtperception.labels import LabelSpace
from mtperception.types import DEPTH_SCALE_MODES, OUTPUT_SIZES, Intrinsics, Prediction

_log = logging.getLogger(__name__)


class BackendPredictor:
    """A backend with what it needs to answer images of any size and camera. Call it with an image.

    Args:
        card: of the model that the backend runs.
        label_space: of the labels it gives.
        backend: runs the model's graph.
        network_size: width and height that larger images are reduced to (aspect kept, never enlarged); (0, 0) is the
            size of the model's training images.
        output_size: 'input': maps come back at the size of the image; 'network': at the size that the network saw.
        depth_scale: factor on the depth, for a camera or a model with a known bias.
        depth_scale_mode: 'focal': depth is scaled by the ratio of the camera's focal length to the training camera's;
            'none': it is not.
        max_batch: how many images may come together, as they do from so many cameras.

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
        max_batch: int = 1,
    ) -> None:
        _check(network_size, output_size, depth_scale_mode)
        self.card = card
        self.label_space = label_space
        self.backend = backend
        self.network_size = network_size if all(network_size) else (card.camera.width, card.camera.height)
        self.output_size = output_size
        self.depth_scale = depth_scale
        self.depth_scale_mode = depth_scale_mode
        self.batch_sizes = _batch_sizes(max_batch)
        # Cameras of different sizes take turns: with one size fewer, each would be prepared anew for each image.
        backend.max_prepared = max(MAX_PREPARED_SHAPES, max_batch) * len(self.batch_sizes)

    @property
    def description(self) -> str:
        """One line: the model and what runs it."""
        return f'{self.card.name} by {self.backend.name} on {self.backend.device}, {self.backend.precision}'

    def working_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that the network sees for an image of this size."""
        scale = min(1.0, self.network_size[0] / width, self.network_size[1] / height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def is_prepared(self, width: int, height: int) -> bool:
        """Whether images of this size are answered at once, or wait for a preparation first."""
        width, height = self.working_size(width, height)
        return all(self.backend.is_prepared(batch, height, width) for batch in self.batch_sizes)

    def prepare(self, width: int, height: int) -> None:
        """Specialise the backend for images of this size, for one and for as many as may come together.

        A size that is prepared already is noted as in use: what was not for the longest time is dropped first. Batches
        are only an economy: where one fails, for which memory may be too short, smaller ones do from then on.

        Raises:
            PreparationError: if it fails for a single image.
        """
        width, height = self.working_size(width, height)
        for batch in self.batch_sizes:
            try:
                self.backend.prepare(batch, height, width)
            except PreparationError as error:
                if batch == 1:
                    raise
                self.batch_sizes = tuple(size for size in self.batch_sizes if size < batch)
                _log.warning('from now on %d images at most run together: %s', self.batch_sizes[-1], error)
                return

    def batches(self, sizes: Sequence[tuple[int, int]]) -> list[list[int]]:
        """Which of several images run together: those that the network sees at the same size.

        Args:
            sizes: width and height of each image.

        Returns:
            Indices into `sizes`, each once, in order within a batch; every batch has a size that `prepare` prepares.
        """
        alike: dict[tuple[int, int], list[int]] = {}
        for index, size in enumerate(sizes):
            alike.setdefault(self.working_size(*size), []).append(index)
        return [batch for indices in alike.values() for batch in self._split(indices)]

    def _split(self, indices: list[int]) -> list[list[int]]:
        """As few batches as possible of prepared sizes."""
        batches = []
        while indices:
            size = max(size for size in self.batch_sizes if size <= len(indices))
            batches.append(indices[:size])
            indices = indices[size:]
        return batches

    def __call__(self, image: np.ndarray, intrinsics: Intrinsics | None = None) -> Prediction:
        """Predict for one image.

        Args:
            image: uint8 H,W,3, RGB.
            intrinsics: the camera, for images of exactly this size; without it depth is not scaled to the camera.

        Returns:
            Maps at the size of the image (or of the network's input: `output_size`).

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
        start = time.perf_counter()
        batch = self._reduced(images)
        resized = time.perf_counter()
        maps, backend_ms = self.backend.run_timed(batch)
        done = time.perf_counter()
        found = [
            self._finished({name: stack[i] for name, stack in maps.items()}, image, camera)
            for i, (image, camera) in enumerate(zip(images, intrinsics, strict=True))
        ]
        resize = (resized - start) + (time.perf_counter() - done)
        latency_ms = {'resize': resize * 1e3, **backend_ms}
        return [Prediction(**finished, latency_ms=latency_ms) for finished in found]

    def _reduced(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """uint8 N,h,w,3: what the network sees; a single image of that size is not copied."""
        size, *others = {self.working_size(image.shape[1], image.shape[0]) for image in images}
        if others:
            raise ValueError(f'images that the network sees at {size} and {others[0]}: expected one size')
        if len(images) == 1 and images[0].shape[1::-1] == size:
            return images[0][None]
        batch = np.empty((len(images), size[1], size[0], 3), np.uint8)
        for image, reduced in zip(images, batch, strict=True):
            if image.shape == reduced.shape:
                reduced[:] = image
            else:
                reduce_image(image, size, reduced)
        return batch

    def _finished(self, maps: Maps, image: np.ndarray, intrinsics: Intrinsics | None) -> Maps:
        """The maps of one image, to the camera's scale and the size that is wanted."""
        size, network = image.shape[1::-1], next(iter(maps.values())).shape[1::-1]
        if 'depth' in maps:
            maps['depth'] *= self._scale(intrinsics, size[0], network[0])
        if self.output_size == 'network' or size == network:
            return maps
        return {name: _enlarge(name, map_, size) for name, map_ in maps.items()}

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

    def _scale(self, intrinsics: Intrinsics | None, image_width: int, network_width: int) -> np.float32:
        if intrinsics is None or self.depth_scale_mode == 'none':
            return np.float32(self.depth_scale)
        focal = focal_scale(intrinsics.fx, image_width, network_width, self.card.camera.fx)
        return np.float32(self.depth_scale * focal)


class Predictor(BackendPredictor):
    """A model directory and the backend that runs it. Call it with an image.

    Args:
        model: a model directory, or the name of an installed one.
        backend: 'auto', 'torch', 'onnxruntime' or 'openvino'.
        device: 'auto', 'cpu' or 'cuda:N'; 'tensorrt:N' with onnxruntime.
        precision: 'auto', 'fp32', 'fp16' or 'bf16'.
        network_size, output_size, depth_scale, depth_scale_mode, max_batch: as for `BackendPredictor`.

    Raises:
        ResourceNotFoundError, ModelError: no such model, or one that is not complete.
        BackendUnavailableError: what is asked for cannot be had; the message says what to install.
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
        max_batch: int = 1,
    ) -> None:
        _check(network_size, output_size, depth_scale_mode)  # before the seconds that opening a backend takes
        self.model = open_model(model)
        super().__init__(
            self.model.card,
            self.model.label_space,
            open_backend(self.model, backend, device, precision),
            network_size=network_size,
            output_size=output_size,
            depth_scale=depth_scale,
            depth_scale_mode=depth_scale_mode,
            max_batch=max_batch,
        )


def reduce_image(image: np.ndarray, size: tuple[int, int], out: np.ndarray | None = None) -> np.ndarray:
    """An image at a smaller size, without aliasing.

    Down to a half, bilinear interpolation still looks at every pixel, and takes a quarter of the time of the mean over
    areas; on the images that the default model was chosen by, the two give the same accuracy.

    Args:
        image: uint8 H,W,3.
        size: its new width and height.
        out: where to write, uint8 h,w,3; by default a new array.
    """
    looks_at_all = 2 * size[0] >= image.shape[1] and 2 * size[1] >= image.shape[0]
    return cv2.resize(image, size, dst=out, interpolation=cv2.INTER_LINEAR if looks_at_all else cv2.INTER_AREA)


def _batch_sizes(largest: int) -> tuple[int, ...]:
    """The sizes that batches of up to `largest` images are made of: few, because each is prepared and kept."""
    return tuple(sorted({largest} | {2**i for i in range(largest.bit_length())}))


def _check_image(image: np.ndarray) -> None:
    if image.ndim != 3 or image.dtype != np.uint8 or image.shape[2] != 3 or not image.size:
        raise ValueError(f'image {image.dtype} {image.shape}: expected uint8 (H, W, 3), RGB')


def _check(network_size: tuple[int, int], output_size: str, depth_scale_mode: str) -> None:
    if output_size not in OUTPUT_SIZES:
        raise ValueError(f'output_size {output_size!r}: expected one of {", ".join(OUTPUT_SIZES)}')
    if depth_scale_mode not in DEPTH_SCALE_MODES:
        raise ValueError(f'depth_scale_mode {depth_scale_mode!r}: expected one of {", ".join(DEPTH_SCALE_MODES)}')
    if min(network_size) < 0:
        raise ValueError(f'network_size {network_size}: expected a width and a height, or 0, 0')


def _enlarge(name: str, map_: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bring one map to width, height: classes by nearest neighbour, measures bilinearly."""
    if name in ('labels', 'confidence'):
        return cv2.resize(map_, size, interpolation=cv2.INTER_NEAREST)
    enlarged = cv2.resize(map_, size, interpolation=cv2.INTER_LINEAR)
    if name == 'normals':
        enlarged /= np.linalg.norm(enlarged, axis=2, keepdims=True)
    return enlarged

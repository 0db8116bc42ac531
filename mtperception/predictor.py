"""From an image to a Prediction: a model, a backend, and what only run time knows (image size and camera)."""

import time
from pathlib import Path

import cv2
import numpy as np

from mtperception.backends import Backend, open_backend
from mtperception.card import ModelCard, open_model
from mtperception.geometry import focal_scale
from mtperception.labels import LabelSpace
from mtperception.types import Intrinsics, Prediction

OUTPUT_SIZES = ('input', 'network')
DEPTH_SCALE_MODES = ('focal', 'none')


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
    ) -> None:
        _check(network_size, output_size, depth_scale_mode)
        self.card = card
        self.label_space = label_space
        self.backend = backend
        self.network_size = network_size if all(network_size) else (card.camera.width, card.camera.height)
        self.output_size = output_size
        self.depth_scale = depth_scale
        self.depth_scale_mode = depth_scale_mode

    @property
    def description(self) -> str:
        """One line: the model and what runs it."""
        return f'{self.card.name} by {self.backend.name} on {self.backend.device}, {self.backend.precision}'

    def working_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height that the network sees for an image of this size."""
        scale = min(1.0, self.network_size[0] / width, self.network_size[1] / height)
        return max(1, round(width * scale)), max(1, round(height * scale))

    def is_prepared(self, width: int, height: int) -> bool:
        """Whether an image of this size is answered at once, or waits for a preparation first."""
        working_width, working_height = self.working_size(width, height)
        return self.backend.is_prepared(1, working_height, working_width)

    def prepare(self, width: int, height: int) -> None:
        """Specialise the backend for images of this size."""
        working_width, working_height = self.working_size(width, height)
        self.backend.prepare(1, working_height, working_width)

    def __call__(self, image: np.ndarray, intrinsics: Intrinsics | None = None) -> Prediction:
        """Predict.

        Args:
            image: uint8 H,W,3, RGB.
            intrinsics: the camera, for images of exactly this size; without it depth is not scaled to the camera.

        Returns:
            Maps at the size of the image (or of the network's input: `output_size`).

        Raises:
            ValueError: for an array of another kind or an image that is too large.
        """
        if image.ndim != 3 or image.dtype != np.uint8 or image.shape[2] != 3 or not image.size:
            raise ValueError(f'image {image.dtype} {image.shape}: expected uint8 (H, W, 3), RGB')
        height, width = image.shape[:2]
        size = self.working_size(width, height)
        start = time.perf_counter()
        reduced = image if size == (width, height) else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        resized = time.perf_counter()
        maps = self.backend.run(reduced[None])
        done = time.perf_counter()
        if 'depth' in maps:
            maps['depth'] *= self._scale(intrinsics, width, size[0])
        maps = {name: stack[0] for name, stack in maps.items()}
        if self.output_size == 'input' and size != (width, height):
            maps = {name: _enlarge(name, map_, (width, height)) for name, map_ in maps.items()}
        resize = (resized - start) + (time.perf_counter() - done)
        return Prediction(**maps, latency_ms={'resize': resize * 1e3, **self.backend.latency_ms})

    def warm_up(self, iterations: int) -> None:
        """Run this often on a black image of the size that the network is made for."""
        width, height = self.network_size
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
        network_size, output_size, depth_scale, depth_scale_mode: as for `BackendPredictor`.

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
        )


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

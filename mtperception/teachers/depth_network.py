# SPDX-License-Identifier: Apache-2.0
"""Depth networks in files without a card: trained by others, with other cameras, for depth in any unit."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mtperception import imagenet
from mtperception.bounded_read import shortened
from mtperception.card import sha256
from mtperception.input_policy import resize_image
from mtperception.teachers.teacher import TeacherError

NORMALIZATIONS = {
    'imagenet': (imagenet.MEAN, imagenet.STD),
    'unit': ((0.0,) * 3, (1.0,) * 3),
    'symmetric': ((0.5,) * 3, (0.5,) * 3),
}
"""Mean and standard deviation of red, green and blue from 0 to 1: what floats are normalised by before they go in."""
Run = Callable[[np.ndarray], np.ndarray]
"""From what the input takes to what the output gives."""


def _tflite(path: Path) -> tuple[str, tuple, Run]:
    from mtperception.teachers.litert import open_interpreter

    interpreter = open_interpreter(path)
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    _check_counts(path, len(inputs), len(outputs))
    scale, zero = outputs[0]['quantization']

    def run(image: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(inputs[0]['index'], np.ascontiguousarray(image))
        interpreter.invoke()
        stored = interpreter.get_tensor(outputs[0]['index'])
        return (stored.astype(np.float32) - zero) * scale if scale else stored

    return np.dtype(inputs[0]['dtype']).name, tuple(map(int, inputs[0]['shape'])), run


def _onnx(path: Path) -> tuple[str, tuple, Run]:
    from mtperception.backends.onnxruntime_backend import onnxruntime, session_options

    try:
        session = onnxruntime.InferenceSession(str(path), session_options(), providers=['CPUExecutionProvider'])
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise TeacherError(shortened(f'{path}: not a network that ONNX Runtime can run: {error}')) from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    _check_counts(path, len(inputs), len(outputs))

    def run(image: np.ndarray) -> np.ndarray:
        return session.run(None, {inputs[0].name: np.ascontiguousarray(image)})[0]

    kind = {'tensor(uint8)': 'uint8', 'tensor(float)': 'float32'}.get(inputs[0].type, inputs[0].type)
    batch, *rest = inputs[0].shape or (0,)
    return kind, (batch if isinstance(batch, int) else 1, *rest), run


def _check_counts(path: Path, inputs: int, outputs: int) -> None:
    if (inputs, outputs) != (1, 1):
        raise TeacherError(f'{path}: {inputs} inputs and {outputs} outputs: expected one image in and one map out')


OPENERS: dict[str, Callable[[Path], tuple[str, tuple, Run]]] = {'.onnx': _onnx, '.tflite': _tflite}
"""By suffix: what opens a file; it gives the input's type and shape, and what runs the network."""


class DepthNetwork:
    """A network in a `.onnx` or `.tflite` file with one image in and one map out; runs on the CPU.

    It sees the whole image, stretched to its own size: RGB, in bytes as they are or in normalised floats.

    Args:
        model: path of the file: uint8 or float32 1,H,W,3 or 1,3,H,W in; a map of any size out, of floats or quantised.
            After the path, `=` and a key of `NORMALIZATIONS` says how floats are normalised; without, as for ImageNet.

    Raises:
        TeacherError: if it is no such network.
        MissingPackageError, BackendUnavailableError: if what runs it is not installed.
    """

    def __init__(self, model: str) -> None:
        text, normalization = split_normalization(model)
        path = self._path = Path(text).expanduser()
        opener = OPENERS.get(path.suffix.lower())
        if opener is None:
            raise TeacherError(f'{path}: expected a depth network in a file that ends in {" or ".join(OPENERS)}')
        if not path.is_file():
            raise TeacherError(f'{path}: no such file')
        kind, shape, self._run = opener(path)
        self._planes = len(shape) == 4 and shape[1] == 3
        height, width, channels = (*shape[2:], 3) if self._planes else (*shape[1:], 0, 0, 0)[:3]
        sizes = (height, width)
        if kind not in ('uint8', 'float32') or (shape[0], channels) != (1, 3) or not all(map(_is_size, sizes)):
            raise TeacherError(
                f'{path}: takes {kind} {"x".join(map(str, shape))}: expected one image, uint8 or float32, 1xHxWx3 or '
                '1x3xHxW, of a fixed size (python -m onnxruntime.tools.make_dynamic_shape_fixed)'
            )
        self._normalization = None if kind == 'uint8' else NORMALIZATIONS[normalization]
        self._size = width, height
        self.name = path.stem
        self.sha256 = f'{sha256(path)} {"" if kind == "uint8" else normalization}'.rstrip()
        """What decides its answers."""
        self._map(np.zeros((height, width, 3), np.uint8))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Look at an image.

        Args:
            image: uint8 H,W,3, RGB.

        Returns:
            float32 H,W: what the network gives, in its own unit; not a number where it gives none.

        Raises:
            TeacherError: if that is no map.
        """
        height, width = image.shape[:2]
        answer = self._map(resize_image(image, self._size))
        return cv2.resize(answer, (width, height), interpolation=cv2.INTER_LINEAR)

    def _map(self, image: np.ndarray) -> np.ndarray:
        if self._normalization is not None:
            mean, std = self._normalization
            image = ((image / np.float32(255) - mean) / std).astype(np.float32)
        try:
            answer = np.squeeze(self._run((image.transpose(2, 0, 1) if self._planes else image)[None]))
        except Exception as error:  # the runtimes' exceptions have no common base
            raise TeacherError(shortened(f'{self._path}: cannot be run: {error}')) from error
        if answer.ndim != 2 or not np.issubdtype(answer.dtype, np.floating):
            found = f'{answer.dtype} {"x".join(map(str, answer.shape))}'.rstrip()
            raise TeacherError(f'{self._path}: gives {found}: expected one map of depth, float or quantised, 1xHxW')
        answer = answer.astype(np.float32)
        answer[~np.isfinite(answer)] = np.nan
        return answer


def split_normalization(model: str) -> tuple[str, str]:
    """The path and the normalisation in `PATH=NORMALISATION`; ImageNet's if none is given.

    Raises:
        TeacherError: if there is no such normalisation.
    """
    path, separator, name = model.rpartition('=')
    if not separator or '/' in name or '.' in name:  # an = of the path
        return model, 'imagenet'
    if name not in NORMALIZATIONS:
        raise TeacherError(f'{model}: no normalisation {name!r}: expected {", ".join(NORMALIZATIONS)}')
    return path, name


def _is_size(value: object) -> bool:
    return isinstance(value, int) and value > 0

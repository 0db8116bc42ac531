# SPDX-License-Identifier: Apache-2.0
"""Depth networks in files without a card: trained by others, with other cameras, for depth in any unit."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mtperception import imagenet
from mtperception.card import sha256
from mtperception.teachers.teacher import TeacherError

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
    from mtperception.backends.onnxruntime_backend import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # errors arrive as exceptions
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise TeacherError(f'{path}: not a network that ONNX Runtime can run: {error}') from error
    inputs, outputs = session.get_inputs(), session.get_outputs()
    _check_counts(path, len(inputs), len(outputs))

    def run(image: np.ndarray) -> np.ndarray:
        return session.run(None, {inputs[0].name: np.ascontiguousarray(image)})[0]

    kind = {'tensor(uint8)': 'uint8', 'tensor(float)': 'float32'}.get(inputs[0].type, inputs[0].type)
    return kind, tuple(inputs[0].shape), run


def _check_counts(path: Path, inputs: int, outputs: int) -> None:
    if (inputs, outputs) != (1, 1):
        raise TeacherError(f'{path}: {inputs} inputs and {outputs} outputs: expected one image in and one map out')


OPENERS: dict[str, Callable[[Path], tuple[str, tuple, Run]]] = {'.onnx': _onnx, '.tflite': _tflite}
"""By suffix: what opens a file; it gives the input's type and shape, and what runs the network."""


class DepthNetwork:
    """A network in a `.onnx` or `.tflite` file with one image in and one map out; runs on the CPU.

    It sees the whole image, stretched to its own size: RGB, in bytes as they are, or in floats normalised as for
    ImageNet.

    Args:
        model: path of the file: uint8 or float32 1,H,W,3 or 1,3,H,W in; a map of any size out, of floats or quantised.

    Raises:
        TeacherError: if it is no such network.
        MissingPackageError, BackendUnavailableError: if what runs it is not installed.
    """

    def __init__(self, model: str) -> None:
        path = Path(model).expanduser()
        opener = OPENERS.get(path.suffix.lower())
        if opener is None:
            raise TeacherError(f'{path}: expected a depth network in a file that ends in {" or ".join(OPENERS)}')
        if not path.is_file():
            raise TeacherError(f'{path}: no such file')
        self._path = path
        kind, shape, self._run = opener(path)
        self._planes = len(shape) == 4 and shape[1] == 3
        height, width, channels = (*shape[2:], shape[1]) if self._planes else (*shape[1:], 0, 0, 0)[:3]
        if kind not in ('uint8', 'float32') or channels != 3 or not all(_is_size(size) for size in (height, width)):
            raise TeacherError(
                f'{path}: takes {kind} {"x".join(map(str, shape))}: expected one image, uint8 or float32, 1xHxWx3 or '
                '1x3xHxW, of a fixed size'
            )
        self._kind, self._size = kind, (width, height)
        self.name = path.stem
        self.sha256 = sha256(path)
        self._map(np.zeros((height, width, 3), np.uint8))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Look at an image.

        Args:
            image: uint8 H,W,3, RGB.

        Returns:
            float32 H,W: what the network gives, in its own unit.

        Raises:
            TeacherError: if that is no map.
        """
        height, width = image.shape[:2]
        reduces = width > self._size[0]
        resized = cv2.resize(image, self._size, interpolation=cv2.INTER_AREA if reduces else cv2.INTER_LINEAR)
        return cv2.resize(self._map(resized), (width, height), interpolation=cv2.INTER_LINEAR)

    def _map(self, image: np.ndarray) -> np.ndarray:
        if self._kind == 'float32':
            image = ((image / np.float32(255) - imagenet.MEAN) / imagenet.STD).astype(np.float32)
        answer = np.squeeze(self._run((image.transpose(2, 0, 1) if self._planes else image)[None]))
        if answer.ndim != 2 or not np.issubdtype(answer.dtype, np.floating):
            found = f'{answer.dtype} {"x".join(map(str, answer.shape))}'.rstrip()
            raise TeacherError(f'{self._path}: gives {found}: expected one map of depth, float or quantised, 1xHxW')
        return answer.astype(np.float32)


def _is_size(value: object) -> bool:
    return isinstance(value, int) and value > 0

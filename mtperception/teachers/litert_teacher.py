# SPDX-License-Identifier: Apache-2.0
"""A segmentation network for LiteRT (TensorFlow Lite) as a teacher."""

from pathlib import Path

import cv2
import numpy as np

from mtperception.card import sha256
from mtperception.input_policy import resize_nearest
from mtperception.labels import IGNORE_INDEX, NO_CLASSES, LabelSpace, load_label_space
from mtperception.teachers.litert import Interpreter, open_interpreter
from mtperception.teachers.squares import by_squares
from mtperception.teachers.teacher import TeacherError, TeacherOptions
from mtperception.types import Intrinsics, Prediction

RUNTIME_OPTIONS = ('backend', 'device', 'precision')


class LiteRTTeacher:
    """A `.tflite` file that turns a square of RGB bytes into class indices. Implements `Teacher`; runs on the CPU.

    Images of another shape are cut into squares, so that things keep their proportions.

    Args:
        model: path of the file: uint8 1,S,S,3 in, whole numbers 1,S,S out.
        options: `label_space` is required (the file does not say it), unless `raw_indices`; the others do not apply.

    Raises:
        TeacherError: if the file is not such a network or an option does not fit.
        ResourceNotFoundError: if there is no such label space.
    """

    tasks = ('segmentation',)
    gives_confidence = False
    max_depth = 0.0

    def __init__(self, model: str, options: TeacherOptions) -> None:
        path = Path(model).expanduser()
        self.label_space: LabelSpace = _label_space(path, options)
        self._interpreter = open_interpreter(path)
        self._input, self._output, self._side = _tensors(path, self._interpreter)
        self.name = path.stem
        self.sha256 = sha256(path)

    def __call__(self, image: np.ndarray, intrinsics: Intrinsics | None) -> Prediction:
        """Label an image; indices that are no class of the label space, if there is one, become 255."""
        return Prediction(labels=by_squares(image, self._label_square))

    def close(self) -> None:
        """Nothing to release but memory."""

    def _label_square(self, square: np.ndarray) -> np.ndarray:
        """uint8 S,S: labels of an image of uint8 S,S,3."""
        side = len(square)
        reduces = side > self._side
        resized = cv2.resize(
            square, (self._side, self._side), interpolation=cv2.INTER_AREA if reduces else cv2.INTER_LINEAR
        )
        self._interpreter.set_tensor(self._input, resized[None])
        self._interpreter.invoke()
        indices = self._interpreter.get_tensor(self._output).reshape(self._side, self._side)
        is_class = (indices >= 0) & (indices < (len(self.label_space) or IGNORE_INDEX))
        labels = np.where(is_class, indices, IGNORE_INDEX).astype(np.uint8)
        return resize_nearest(labels, (side, side))


def _label_space(path: Path, options: TeacherOptions) -> LabelSpace:
    meaningless = [name for name in RUNTIME_OPTIONS if getattr(options, name) != 'auto']
    if meaningless:
        raise TeacherError(f'{path}: {", ".join(meaningless)} given, but LiteRT always runs on the CPU')
    if options.camera_height:
        raise TeacherError(f'{path}: camera height given: expected a model directory, or the name of a model')
    if options.raw_indices:
        return NO_CLASSES
    if not options.label_space:
        raise TeacherError(f'{path}: no label space given: a .tflite file does not say which classes its indices mean')
    return load_label_space(options.label_space)


def _tensors(path: Path, interpreter: Interpreter) -> tuple[int, int, int]:
    """Index of the input, index of the output, side of the square."""
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    found = ', '.join(
        f'{np.dtype(tensor["dtype"]).name} {"x".join(map(str, tensor["shape"]))}' for tensor in (*inputs, *outputs)
    )
    side = int(inputs[0]['shape'][1]) if len(inputs[0]['shape']) == 4 else 0
    fits = (
        (len(inputs), len(outputs)) == (1, 1)
        and (inputs[0]['dtype'], tuple(inputs[0]['shape'])) == (np.uint8, (1, side, side, 3))
        and np.issubdtype(outputs[0]['dtype'], np.integer)
        and np.prod(outputs[0]['shape']) == side * side
    )
    if not fits:
        raise TeacherError(
            f'{path}: found {found}: expected one input, uint8 1xSxSx3, and one output, class indices 1xSxS'
        )
    return inputs[0]['index'], outputs[0]['index'], side

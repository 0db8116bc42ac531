# SPDX-License-Identifier: Apache-2.0
"""The self-test of a model: does this backend, on this machine, give what PyTorch gave when the model was exported?"""

import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mtperception.agreement import Maps, mismatch, relative_differences
from mtperception.bounded_read import check_regular, shortened
from mtperception.errors import InputError, MTPerceptionError
from mtperception.tasks import CLASSES, DIRECTIONS, METRES, TASKS, graph_output, graph_outputs
from mtperception.types import MAX_PIXELS

CONFIDENT = 128
MIN_CONFIDENT_PIXELS = 1000
MIN_LABEL_AGREEMENT = {'fp32': 0.999, 'reduced': 0.97}
MAX_DEPTH_ERROR = {'fp32': 0.001, 'reduced': 0.02}
MAX_NORMAL_ERROR = {'fp32': 0.1, 'reduced': 2.0}
MAX_BYTES = 256 * 2**20
"""Largest file, bytes: well above one with `MAX_PIXELS`."""
MAX_HEADER = 16 * 2**10
MAX_SIDE = 4096
"""Pixels: above any size that networks are trained at."""


class SelfTestError(MTPerceptionError, RuntimeError):
    """A backend whose outputs are not those of the model."""


def write_self_test(path: Path, image: np.ndarray, outputs: Maps) -> None:
    """Store an image (uint8 H,W,3) and the graph's fp32 PyTorch outputs for it (without the batch axis)."""
    np.savez_compressed(path, image=image, **outputs)


def run_self_test(path: Path, run: Callable[[np.ndarray], Maps], precision: str = 'fp32') -> None:
    """Run a stored self-test.

    Labels and depth are compared where the stored confidence is at least 128, if that is so on 1000 pixels, else
    everywhere.

    Args:
        path: the `selftest.npz` of a model directory.
        run: maps uint8 1,H,W,3 to the graph's outputs.
        precision: what `run` computes in; anything but 'fp32' is allowed the larger differences.

    Raises:
        SelfTestError: if an output is missing, differs in type or shape, is not finite, or differs by more than
            `precision` explains; or the file is no self-test.
    """
    image, expected = read_self_test(path)
    expected = {name: map_[None] for name, map_ in expected.items()}
    found = run(image[None])
    problem = mismatch(expected, expected) or mismatch(found, expected)
    if problem:
        raise SelfTestError(f'self-test ({precision}): {problem}')
    mask = _compared(expected)
    tolerance = 'fp32' if precision == 'fp32' else 'reduced'
    failures = [_failure(name, found[name], expected[name], mask, tolerance) for name in expected]
    if any(failures):
        raise SelfTestError(f'self-test ({precision}): {"; ".join(filter(None, failures))}')


def _compared(expected: Maps) -> np.ndarray:
    """bool 1,H,W: the pixels that the network is sure of, or all if these are few."""
    everywhere = np.ones(next(iter(expected.values())).shape[:3], bool)
    confident = expected.get('confidence', everywhere) >= CONFIDENT
    return confident if confident.sum() >= MIN_CONFIDENT_PIXELS else everywhere


def _failure(name: str, found: np.ndarray, expected: np.ndarray, mask: np.ndarray, tolerance: str) -> str:
    """What is wrong with a map; '' if nothing."""
    error = relative_differences(name, found, expected)[mask]
    kind = graph_output(name).kind
    if kind == CLASSES:
        agreement, smallest = 1 - float(error.mean()), MIN_LABEL_AGREEMENT[tolerance]
        return '' if agreement >= smallest else f'{name} agree on {agreement:.2%}, expected {smallest:.1%}'
    median = float(np.median(error))
    if kind == METRES and not median <= MAX_DEPTH_ERROR[tolerance]:
        return f'median relative {name} error {median:.2%}, expected {MAX_DEPTH_ERROR[tolerance]:.1%}'
    if kind == DIRECTIONS and not median <= MAX_NORMAL_ERROR[tolerance]:
        return f'median angle of {name} {median:.2f} deg, expected {MAX_NORMAL_ERROR[tolerance]}'
    return ''


def read_self_test(path: Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The image, uint8 H,W,3, and the graph's outputs for it, by name, without the batch axis.

    What the file says of its arrays is checked before any is unpacked. Nothing is unpickled.

    Raises:
        SelfTestError: if it is not a self-test, or one of an image of more than `MAX_PIXELS` or `MAX_SIDE`.
    """
    try:
        check_regular(path, MAX_BYTES)
        with zipfile.ZipFile(path) as archive:
            kinds = {name.removesuffix('.npy'): _kind(archive, name) for name in archive.namelist()}
            _check_kinds(kinds)
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in kinds}
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise SelfTestError(shortened(f'{path}: not a self-test: {error}: export or import the model again')) from error
    return arrays.pop('image'), arrays


def _kind(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of a stored array, by its header alone."""
    with archive.open(name) as member:
        header = io.BytesIO(member.read(MAX_HEADER))
    version = np.lib.format.read_magic(header)
    if version != (1, 0):
        raise InputError(f'{name}: an array of format {version}')
    shape, _, dtype = np.lib.format.read_array_header_1_0(header)
    return shape, dtype


def _check_kinds(kinds: Mapping[str, tuple[tuple[int, ...], np.dtype]]) -> None:
    """Raises InputError unless these are an image and outputs of a graph for it."""
    (height, width, *channels), dtype = kinds['image']
    if channels != [3] or dtype != np.uint8 or not 0 < max(height, width) <= MAX_SIDE or height * width > MAX_PIXELS:
        raise InputError(f'image {dtype} {kinds["image"][0]}: expected uint8 (H, W, 3) of up to {MAX_SIDE} a side')
    outputs = {output.name: output for output in graph_outputs(TASKS)}
    for name in kinds.keys() - {'image'}:
        if name not in outputs:
            raise InputError(f'{name}: expected some of {", ".join(outputs)}')
        output = outputs[name]
        expected = (height, width) if output.channels == 1 else (height, width, output.channels)
        if kinds[name] != (expected, np.dtype(output.dtype)):
            raise InputError(f'{name} {kinds[name][1]} {kinds[name][0]}: expected {output.dtype} {expected}')
    if kinds.keys() == {'image'}:
        raise InputError('found only an image; expected an output too')
